"""The points of a PLY file: ascii or binary of either byte order, with any other properties."""

import dataclasses
import re

import numpy as np

from point_ft_jax.core.errors import UserError

TYPES = {
    **dict.fromkeys(('char', 'int8'), 'i1'),
    **dict.fromkeys(('uchar', 'uint8'), 'u1'),
    **dict.fromkeys(('short', 'int16'), 'i2'),
    **dict.fromkeys(('ushort', 'uint16'), 'u2'),
    **dict.fromkeys(('int', 'int32'), 'i4'),
    **dict.fromkeys(('uint', 'uint32'), 'u4'),
    **dict.fromkeys(('float', 'float32'), 'f4'),
    **dict.fromkeys(('double', 'float64'), 'f8'),
}
ORDERS = {'ascii': '', 'binary_little_endian': '<', 'binary_big_endian': '>'}


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

    Of a binary file in its own types, of an ascii one as float64.

    Raises:
        UserError: no PLY, an unknown format or type, no vertices with x, y, z, or too few bytes.
    """
    order, elements, body = _header(content)
    vertex = next((e for e in elements if e.name == 'vertex'), None)
    if vertex is None:
        raise UserError(f'no element vertex; found {", ".join(e.name for e in elements) or "none"}')
    columns = [p[0] for p in vertex.properties]
    if not {'x', 'y', 'z'} <= set(columns):
        raise UserError(f'the vertices have no x, y, z; found {", ".join(columns) or "none"}')
    if any(len(p) == 3 for p in vertex.properties):
        raise UserError('the vertices have a list property; save them with x, y, z only')
    before = elements[: elements.index(vertex)]
    read = _binary if order else _ascii
    rows = read(body, before, vertex, order)
    return {name: rows[name] for name in columns}


def _header(content: bytes) -> tuple[str, list[_Element], bytes]:
    end = re.search(rb'^end_header[ \t]*\r?\n', content, re.MULTILINE)
    head = content[: end.start()].decode('latin1') if end else ''
    lines = [line.split() for line in head.splitlines()]
    if not lines or lines[0] != ['ply']:
        raise UserError('no PLY header: expected a line `ply` first and `end_header` later')
    elements: list[_Element] = []
    order = None
    for words in lines[1:]:
        match words:
            case ['format', name, *_] if name in ORDERS:
                order = ORDERS[name]
            case ['element', name, count] if count.isdigit():
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
                raise UserError(f'header line {" ".join(words)!r} is no PLY')
    if order is None:
        raise UserError(f'no format line; expected one of {", ".join(ORDERS)}')
    return order, elements, content[end.end() :]


def _binary(body: bytes, before: list[_Element], vertex: _Element, order: str) -> np.ndarray:
    start = 0
    for element in before:
        start = _skip(body, element, order, start)
    dtype = np.dtype([(name, order + kind) for name, kind in vertex.properties])
    there = max(0, len(body) - start) // dtype.itemsize
    if there < vertex.count:
        raise UserError(f'{vertex.count:,} vertices announced but only {there:,} are there')
    return np.frombuffer(body, dtype, vertex.count, start)


def _skip(body: bytes, element: _Element, order: str, start: int) -> int:
    """Where the bytes after an element begin."""
    if all(len(p) == 2 for p in element.properties):
        return start + element.count * sum(np.dtype(p[1]).itemsize for p in element.properties)
    for _ in range(element.count):
        for _, kind, *items in element.properties:
            size = np.dtype(kind).itemsize
            if items and start + size <= len(body):
                length = int(np.frombuffer(body, order + kind, 1, start)[0])
                start += length * np.dtype(items[0]).itemsize
            start += size
    return start


def _ascii(body: bytes, before: list[_Element], vertex: _Element, order: str) -> dict:
    lines = [line for line in body.splitlines() if line.strip()]
    skipped = sum(element.count for element in before)
    rows = [line.split() for line in lines[skipped : skipped + vertex.count]]
    if len(rows) < vertex.count:
        raise UserError(f'{vertex.count:,} vertices announced but only {len(rows):,} are there')
    width = len(vertex.properties)
    bad = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if bad is not None:
        raise UserError(f'vertex {bad + 1} has {len(rows[bad])} values; expected {width}')
    try:
        table = np.array(rows, dtype=np.float64).reshape(-1, width)
    except ValueError as error:
        raise UserError(f'a vertex has a value that is no number ({error})') from None
    return {name: table[:, i] for i, (name, *_) in enumerate(vertex.properties)}
