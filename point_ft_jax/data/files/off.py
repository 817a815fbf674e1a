"""Geomview .off files: the vertices, with their normals and colours, and the faces."""

import codecs
import re

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import mesh, numbers
from point_ft_jax.data.files.mesh import Mesh

CORNER = re.compile('[0-9]{1,18}')
NORMALS = ('nx', 'ny', 'nz')
COLOURS = ('red', 'green', 'blue', 'alpha')


def parse(content: bytes) -> Mesh:
    """The mesh of a file's bytes; polygons are cut in triangles, colours of faces left out.

    The counts may stand on the line of OFF, without a blank too, as in some files of ModelNet40.

    Raises:
        UserError: no text, another header, other numbers of rows or values than it announces, a
            face of a vertex that is not there.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode('latin1')
    if '\0' in text:
        raise UserError('no .off file of text: it holds bytes that are no text')
    rows = [line.partition('#')[0].split() for line in re.split('\r\n|\r|\n', text)]
    rows = [row for row in rows if row]
    kind, rows = _kind(rows)
    counts = rows[0] if rows else []
    if len(counts) not in (2, 3) or not all(re.fullmatch('[0-9]{1,15}', word) for word in counts):
        raise UserError(
            f'its numbers of vertices, faces and edges are {" ".join(counts)[:80]!r}; expected '
            'three whole numbers behind OFF'
        )
    number, faces = int(counts[0]), int(counts[1])
    body = rows[1:]
    if len(body) != number + faces:
        raise UserError(
            f'{number:,} vertices and {faces:,} faces announced, which are {number + faces:,} '
            f'lines, but {len(body):,} are there'
        )
    vertices = _vertices(body[:number], kind)
    corners = [_corners(row, index) for index, row in enumerate(body[number:])]
    return Mesh(vertices, mesh.triangles_of(corners, number))


def _kind(rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """What stands before OFF, and the rows behind it."""
    first = rows[0] if rows else ['']
    found = re.fullmatch(r'(ST)?(C)?(N)?OFF(\d*)', first[0])
    if not found or first[1:2] == ['BINARY']:
        raise UserError(f'it begins with {" ".join(first)[:80]!r}; expected OFF, in text')
    behind = [*filter(None, [found[4]]), *first[1:]]
    kind = first[0][: found.start(4)].removesuffix('OFF')
    return kind, [behind, *rows[1:]] if behind else rows[1:]


def _vertices(rows: list[list[str]], kind: str) -> dict[str, np.ndarray]:
    if not rows:
        raise UserError('no vertices in it')
    names = ['x', 'y', 'z', *(NORMALS if 'N' in kind else ())]
    more = len(rows[0]) - len(names)
    if 'C' in kind:
        names += COLOURS[: more if more in (3, 4) else 4]
    if 'ST' in kind:
        names += ['s', 't']
    # Some write colours without a C in the header.
    if not kind and more in (3, 4):
        names += COLOURS[:more]
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if wrong is not None:
        raise UserError(f'vertex {wrong + 1} has {len(rows[wrong])} values; expected {len(names)}')
    try:
        table = numbers.floats(rows)
    except ValueError as error:
        raise UserError(f'a vertex has a value that is no number ({str(error)[:200]})') from None
    return dict(zip(names, table.T, strict=True))


def _corners(row: list[str], index: int) -> list[int]:
    """The vertices of a face; a colour may follow."""
    if not re.fullmatch('[0-9]{1,9}', row[0]) or int(row[0]) > len(row) - 1:
        raise UserError(
            f'face {index + 1} is {" ".join(row)[:80]!r}; expected its number of corner'
            's and then these'
        )
    words = row[1 : 1 + int(row[0])]
    if not all(map(CORNER.fullmatch, words)):
        raise UserError(f'face {index + 1} has a corner that is no number of a vertex')
    return [*map(int, words)]
