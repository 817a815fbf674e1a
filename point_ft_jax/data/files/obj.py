"""Wavefront .obj files: the vertices, with their colours, and the faces."""

import codecs
import re

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import mesh, numbers
from point_ft_jax.data.files.mesh import Mesh

CORNER = re.compile('[+-]?[0-9]{1,18}')
# By the number of values behind `v`; the fourth of four is a weight.
COLUMNS = {
    3: ('x', 'y', 'z'),
    4: ('x', 'y', 'z', 'w'),
    6: ('x', 'y', 'z', 'red', 'green', 'blue'),
    7: ('x', 'y', 'z', 'red', 'green', 'blue', 'alpha'),
}


def parse(content: bytes) -> Mesh:
    """The mesh of a file's bytes, whatever its objects and groups; polygons are cut in triangles.

    Raises:
        UserError: no vertices, a vertex of other numbers, a face of a vertex that is not there.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode('latin1')
    if '\0' in text:
        raise UserError('no .obj file: it holds bytes that are no text')
    lines = re.split('\r\n|\r|\n', re.sub(r'\\[ \t]*(\r\n|\r|\n)', ' ', text))
    rows: list[list[str]] = []
    faces: list[list[int]] = []
    for line in lines:
        words = line.partition('#')[0].split()
        if words[:1] == ['v']:
            rows.append(words[1:])
        elif words[:1] == ['f']:
            faces.append([_index(word, len(rows)) for word in words[1:]])
    vertices = _vertices(rows)
    return Mesh(vertices, mesh.triangles_of(faces, len(rows)))


def _vertices(rows: list[list[str]]) -> dict[str, np.ndarray]:
    if not rows:
        raise UserError('no vertices in it: expected lines `v x y z`')
    width = len(rows[0])
    if width not in COLUMNS:
        raise UserError(f'vertex 1 has {width} values; expected x, y, z, perhaps with a colour')
    wrong = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        raise UserError(f'vertex {wrong + 1} has {len(rows[wrong])} values, the first {width}')
    try:
        table = numbers.floats(rows)
    except ValueError as error:
        raise UserError(f'a vertex has a value that is no number ({str(error)[:200]})') from None
    return dict(zip(COLUMNS[width], table.T, strict=True))


def _index(word: str, number_so_far: int) -> int:
    """The vertex, from 0 on, of a corner such as 7, 7/1/3, or -1, the last one so far."""
    first = word.partition('/')[0]
    if not CORNER.fullmatch(first) or not (number := int(first)):
        raise UserError(f'a face has the corner {word[:40]!r}; expected the number of a vertex')
    return number - 1 if number > 0 else number_so_far + number
