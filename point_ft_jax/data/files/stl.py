"""STL files: triangles, in binary or as text."""

import codecs
import re
import struct

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import numbers
from point_ft_jax.data.files.mesh import Mesh

HEADER = 84  # bytes, the last four of which are the number of triangles
TRIANGLE = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])


def parse(content: bytes) -> Mesh:
    """The mesh of a file's bytes, three vertices a triangle.

    Whether it is text is told by the size: headers of binary files begin with 'solid' too.

    Raises:
        UserError: neither text nor of the size that the number of triangles asks for, or text of
            which something is missing.
    """
    count = struct.unpack_from('<I', content, HEADER - 4)[0] if len(content) >= HEADER else 0
    size = HEADER + count * TRIANGLE.itemsize
    text = content.removeprefix(codecs.BOM_UTF8).lstrip()
    if len(content) >= HEADER and len(content) == size:
        corners = np.frombuffer(content, TRIANGLE, count, HEADER)['corners'].reshape(-1, 3)
    elif text[:5].lower() == b'solid' and b'\0' not in text:
        corners = _text(text.decode('latin1'))
    elif len(content) < HEADER:
        raise UserError(f'no STL: it has {len(content):,} bytes, and a header alone has {HEADER}')
    else:
        raise UserError(
            f'{count:,} triangles announced, which are {size:,} bytes with the header, but '
            f'{len(content):,} are there'
        )
    if not len(corners):
        raise UserError('no triangles in it')
    vertices = dict(zip(('x', 'y', 'z'), corners.T, strict=True))
    return Mesh(vertices, np.arange(len(corners)).reshape(-1, 3))


def _text(text: str) -> np.ndarray:
    """The corners [3 T, 3] of an STL as text."""
    lines = [line.split() for line in re.split('[\r\n]+', text.lower())]
    begun, ended, loops = (
        sum(line[:1] == [word] for line in lines) for word in ('facet', 'endfacet', 'endloop')
    )
    rows = [line[1:] for line in lines if line[:1] == ['vertex']]
    solids = [line[0] for line in lines if line and line[0] in ('solid', 'endsolid')]
    if not begun == ended == loops or len(rows) != 3 * begun or solids[-1] != 'endsolid':
        raise UserError(
            f'an STL of text with {begun:,} triangles begun, {ended:,} ended, {len(rows):,} corners'
            f'{"" if solids[-1] == "endsolid" else " and no endsolid"}: it was cut short'
        )
    if any(len(row) != 3 for row in rows):
        raise UserError('a corner has other than three values')
    try:
        return numbers.floats(rows).reshape(-1, 3)
    except ValueError as error:
        raise UserError(f'a corner has a value that is no number ({str(error)[:200]})') from None
