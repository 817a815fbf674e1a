"""The points and faces of a PLY file: ascii or binary of either byte order, of any properties."""

import codecs
import collections
import dataclasses
import re
import struct
from collections.abc import Mapping

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import numbers
from point_ft_jax.data.files.mesh import Mesh, triangles_of

TYPES = {
    **dict.fromkeys(('char', 'int8'), 'i1'),
    **dict.fromkeys(('uchar', 'uint8'), 'u1'),
    **dict.fromkeys(('short', 'int16'), 'i2'),
    **dict.fromkeys(('ushort', 'uint16'), 'u2'),
    **dict.fromkeys(('int', 'int32'), 'i4'),
    **dict.fromkeys(('uint', 'uint32'), 'u4'),
    **dict.fromkeys(('float', 'float32'), 'f4'),
    **dict.fromkeys(('double', 'float64'), 'f8'),
    **{'int64': 'i8', 'uint64': 'u8'},  # no part of the definition, and clear
}
CODES = dict(
    zip(('i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f4', 'f8'), 'bBhHiIqQfd', strict=True)
)
ORDERS = {'ascii': '', 'binary_little_endian': '<', 'binary_big_endian': '>'}
LONGEST_HEADER = 2**20  # bytes
MOST_ELEMENTS = 1000
CORNER = re.compile(rb'[0-9]{1,18}')
LONGEST = 1000  # values in a list that all rows may have alike
CORNERS = ('vertex_indices', 'vertex_index')  # the list of a face that names its vertices


@dataclasses.dataclass
class _Element:
    """One element of the header; properties are (name, type) or (name, length type, item type)."""

    name: str
    count: int
    properties: list[tuple[str, ...]] = dataclasses.field(default_factory=list)


def parse(content: bytes) -> np.ndarray:
    """The x, y, z of the element `vertex` of a PLY file's bytes, [N, 3] float64.

    Raises:
        UserError: as `vertices`.
    """
    rows = vertices(content)
    return np.stack([rows[axis].astype(np.float64) for axis in 'xyz'], axis=-1)


def vertices(content: bytes) -> dict[str, np.ndarray]:
    """All properties [N] of the element `vertex` of a PLY file's bytes, by their names.

    Of a binary file in its own types, of an ascii one as float64. Names are in lower case unless
    two differ by that alone; lists are passed over.

    Raises:
        UserError: no PLY, an unknown format or type, no vertices with x, y, z, or other numbers of
            rows or values than the header announces.
    """
    return _vertices(*_header(content))


def mesh(content: bytes) -> Mesh:
    """`vertices`, and the triangles of the element `face`, none if there is no such element.

    Raises:
        UserError: as `vertices`; a face of a vertex that is not there.
    """
    order, elements, body = _header(content)
    found = _vertices(order, elements, body)
    corners: list[list[int]] = []
    for element in elements:
        lists = [p for p in element.properties if p[0] in CORNERS and len(p) == 3]
        if element.name.lower() == 'face' and lists:
            if len(lists) > 1 or lists[0][2].startswith('f'):
                raise UserError('faces name their corners twice, or by other than whole numbers')
            corners = (_binary_faces if order else _ascii_faces)(body, elements, element, order)
    return Mesh(found, triangles_of(corners, len(found['x'])))


def _vertices(order: str, elements: list[_Element], body: bytes) -> dict[str, np.ndarray]:
    vertex = _vertex(elements)
    columns = [p[0] for p in vertex.properties]
    if len(set(columns)) < len(columns):
        raise UserError(f'a property of the vertices occurs twice: {", ".join(columns)}')
    names = _plain(columns)
    if not {'x', 'y', 'z'} <= set(names):
        raise UserError(f'the vertices have no x, y, z; found {", ".join(columns) or "none"}')
    read = _binary if order else _ascii
    rows = read(body, elements, vertex, order)
    return {
        name: rows[column] for name, column in zip(names, columns, strict=True) if column in rows
    }


def _vertex(elements: list[_Element]) -> _Element:
    """The element of the vertices: the one of that name, or the only one with x, y, z."""
    for matches in (
        [e for e in elements if e.name.lower() == 'vertex'],
        [e for e in elements if {'x', 'y', 'z'} <= {p[0].lower() for p in e.properties}],
    ):
        if len(matches) == 1:
            return matches[0]
    raise UserError(f'no element vertex; found {", ".join(e.name for e in elements) or "none"}')


def _plain(columns: list[str]) -> list[str]:
    lower = [column.lower() for column in columns]
    counts = collections.Counter(lower)
    return [low if counts[low] == 1 else own for low, own in zip(lower, columns, strict=True)]


def _header(content: bytes) -> tuple[str, list[_Element], bytes]:
    content = content.removeprefix(codecs.BOM_UTF8).lstrip()
    # Lines end in one way, and where that is CR alone an LF behind it is the first of the data.
    newline = re.search(rb'\r\n|\r|\n', content)
    alone = newline is not None and newline[0] == b'\r'
    starts, ends = (rb'\r', rb'\r') if alone else (rb'\n', rb'\r?\n')
    last = rb'(?i)(?<=' + starts + rb')[ \t]*end_header[ \t]*' + ends
    end = re.search(last, content[:LONGEST_HEADER])
    head = content[: end.start()].decode('latin1') if end else ''
    lines = [line.split() for line in head.split('\r' if alone else '\n')]
    if [word.lower() for word in lines[0]] != ['ply']:
        raise UserError('no PLY header: expected a line `ply` first and `end_header` within a MiB')
    elements: list[_Element] = []
    order = None
    for words in lines[1:]:
        match [*map(str.lower, words[:-1]), *words[-1:]]:
            case ['format', name, *_] if name.lower() in ORDERS:
                order = ORDERS[name.lower()]
            case ['element', name, count] if re.fullmatch('[0-9]{1,15}', count):
                elements.append(_Element(name, int(count)))
            case ['property', 'list', length, item, name] if elements and {length, item} <= set(
                TYPES
            ):
                elements[-1].properties.append((name, TYPES[length], TYPES[item]))
            case ['property', kind, name] if elements and kind in TYPES:
                elements[-1].properties.append((name, TYPES[kind]))
            case [] | ['comment' | 'obj_info', *_]:
                pass
            case _:
                raise UserError(f'header line {" ".join(words)[:200]!r} is no PLY')
    if len(elements) > MOST_ELEMENTS:
        raise UserError(f'{len(elements):,} elements, of which no cloud has more than two or three')
    if order is None:
        raise UserError(f'no format line; expected one of {", ".join(ORDERS)}')
    return order, elements, content[end.end() :]


def _binary(
    body: bytes, elements: list[_Element], vertex: _Element, order: str
) -> Mapping[str, np.ndarray]:
    start, number = 0, elements.index(vertex)
    for element in elements[:number]:
        start, _ = _walked(body, element, order, start)
    if any(len(p) == 3 for p in vertex.properties):
        _, values = _walked(body, vertex, order, start)
        return values
    dtype = np.dtype([(name, order + kind) for name, kind in vertex.properties])
    there = max(0, len(body) - start) // dtype.itemsize
    if there < vertex.count:
        raise UserError(f'{vertex.count:,} vertices announced but only {there:,} are there')
    if there > vertex.count and vertex is elements[-1]:
        raise UserError(f'{vertex.count:,} vertices announced but {there:,} are there')
    rows = np.frombuffer(body, dtype, vertex.count, start)
    return {name: rows[name] for name in dtype.names}


def _walked(
    body: bytes, element: _Element, order: str, start: int
) -> tuple[int, dict[str, np.ndarray]]:
    """Where the bytes after an element begin; of one with lists also its other properties."""
    if all(len(p) == 2 for p in element.properties):
        row = sum(np.dtype(p[1]).itemsize for p in element.properties)
        return start + element.count * row, {}
    uniform = _uniform(body, element, order, start)
    if uniform is not None:
        found = {p[0]: uniform[f'{i}'] for i, p in enumerate(element.properties) if len(p) == 2}
        return start + uniform.nbytes, found
    kinds = {kind: struct.Struct(order + code) for kind, code in CODES.items()}
    found: dict[str, list] = {p[0]: [] for p in element.properties if len(p) == 2}
    for row in range(element.count):
        for name, kind, *items in element.properties:
            value, start = _value(body, kinds[kind], start, element, row)
            if not items:
                found[name].append(value)
            else:
                start += _length(value, element, row) * kinds[items[0]].size
    return start, {name: np.array(values) for name, values in found.items()}


def _uniform(body: bytes, element: _Element, order: str, start: int) -> np.ndarray | None:
    """The rows of an element all of whose lists are as long as those of its first row, or None.

    Fields are called by the numbers of their properties: a list has its length in 'n0', its values
    in '0'.
    """
    fields: list[tuple] = []
    at = start
    for number, (_, kind, *items) in enumerate(element.properties):
        size = np.dtype(kind).itemsize
        if not items:
            fields.append((f'{number}', order + kind))
            at += size
            continue
        if kind.startswith('f'):
            return None
        length = int(np.frombuffer(body[at : at + size].ljust(size, b'\0'), order + kind)[0])
        if not 0 <= length <= LONGEST:
            return None
        fields += [(f'n{number}', order + kind), (f'{number}', order + items[0], (length,))]
        at += size + length * np.dtype(items[0]).itemsize
    dtype = np.dtype(fields)
    if start + element.count * dtype.itemsize > len(body) or not dtype.itemsize:
        return None
    rows = np.frombuffer(body, dtype, element.count, start)
    lengths = [rows[name] for name in dtype.names if name.startswith('n')]
    return rows if all((length == length[:1]).all() for length in lengths) else None


def _value(
    body: bytes, kind: struct.Struct, start: int, element: _Element, row: int
) -> tuple[float, int]:
    """A value of a row, and where the bytes after it begin."""
    if start + kind.size > len(body):  # a count is believed as far as the file goes
        raise UserError(
            f'{element.count:,} rows of {element.name} announced but only {row:,} are there'
        )
    return kind.unpack_from(body, start)[0], start + kind.size


def _length(value: float, element: _Element, row: int) -> int:
    if not 0 <= value < 2**63:
        raise UserError(f'row {row + 1} of {element.name} has a list of {value} values')
    return int(value)


def _binary_faces(
    body: bytes, elements: list[_Element], face: _Element, order: str
) -> np.ndarray | list[list[int]]:
    start = 0
    for element in elements[: elements.index(face)]:
        start, _ = _walked(body, element, order, start)
    number = next(i for i, p in enumerate(face.properties) if p[0] in CORNERS)
    uniform = _uniform(body, face, order, start)
    if uniform is not None:
        return uniform[f'{number}'].astype(np.int64)
    kinds = {kind: struct.Struct(order + code) for kind, code in CODES.items()}
    faces: list[list[int]] = []
    for row in range(face.count):
        for index, (_, kind, *items) in enumerate(face.properties):
            value, start = _value(body, kinds[kind], start, face, row)
            if not items:
                continue
            length, size = _length(value, face, row), kinds[items[0]].size
            if start + length * size > len(body):
                raise UserError(f'face {row + 1} has {length:,} corners, more than the file holds')
            if index == number:
                corners = np.frombuffer(body, order + items[0], length, start)
                faces.append(corners.astype(np.int64).tolist())
            start += length * size
    return faces


def _ascii_faces(
    body: bytes, elements: list[_Element], face: _Element, order: str
) -> list[list[int]]:
    lines = [line for line in re.split(rb'[\r\n]+', body) if line.strip()]
    skipped = sum(e.count for e in elements[: elements.index(face)] if e.properties)
    rows = [line.split() for line in lines[skipped : skipped + face.count]]
    if len(rows) < face.count:
        raise UserError(f'{face.count:,} faces announced but only {len(rows):,} are there')
    faces = []
    for index, row in enumerate(rows):
        start, corners = 0, []
        for name, _, *items in face.properties:
            if not items:
                start += 1
                continue
            if start >= len(row) or not row[start].isdigit() or len(row[start]) > 9:
                raise UserError(f'face {index + 1} has a list without its length')
            values = row[start + 1 : start + 1 + int(row[start])]
            start += 1 + int(row[start])
            corners = values if name in CORNERS else corners
        if start != len(row) or not all(map(CORNER.fullmatch, corners)):
            raise UserError(
                f'face {index + 1} is {b" ".join(row)[:80]!r}; expected the numbers of its corners'
            )
        faces.append([*map(int, corners)])
    return faces


def _ascii(
    body: bytes, elements: list[_Element], vertex: _Element, order: str
) -> Mapping[str, np.ndarray]:
    lines = [line for line in re.split(rb'[\r\n]+', body) if line.strip()]
    announced = sum(element.count for element in elements if element.properties)
    skipped = sum(element.count for element in elements[: elements.index(vertex)])
    rows = [line.split() for line in lines[skipped : skipped + vertex.count]]
    if len(lines) != announced and (values := _in_one_stream(body, elements, vertex)):
        rows = values
    elif len(lines) > announced:
        raise UserError(f'{announced:,} rows announced but {len(lines):,} are there')
    elif len(rows) < vertex.count:
        raise UserError(f'{vertex.count:,} vertices announced but only {len(rows):,} are there')
    names = [p[0] for p in vertex.properties if len(p) == 2]
    if len(names) < len(vertex.properties):
        rows = [_without_lists(row, vertex) for row in rows]
    bad = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if bad is not None:
        raise UserError(f'vertex {bad + 1} has {len(rows[bad])} values; expected {len(names)}')
    try:
        table = numbers.floats(rows).reshape(-1, len(names))
    except ValueError as error:
        raise UserError(f'a vertex has a value that is no number ({str(error)[:200]})') from None
    return {name: table[:, i] for i, name in enumerate(names)}


def _in_one_stream(
    body: bytes, elements: list[_Element], vertex: _Element
) -> list[list[bytes]] | None:
    """The rows of the vertices, of a file without lists whose rows are not one a line."""
    if any(len(p) == 3 for e in elements for p in e.properties):
        return None
    sizes = [e.count * len(e.properties) for e in elements]
    words = body.split()
    if len(words) != sum(sizes):
        return None
    start, width = sum(sizes[: elements.index(vertex)]), len(vertex.properties)
    return [words[start + i * width :][:width] for i in range(vertex.count)]


def _without_lists(row: list[bytes], vertex: _Element) -> list[bytes]:
    """The values of a row that are in no list."""
    kept, start = [], 0
    for _, _, *items in vertex.properties:
        if not items:
            kept += row[start : start + 1]
            start += 1
        elif start < len(row) and row[start].isdigit():
            start += 1 + int(row[start])
        else:
            raise UserError('a vertex has a list without its length')
    return [*kept, *row[start:]]
