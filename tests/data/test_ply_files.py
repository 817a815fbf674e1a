"""PLY files as exporters write them: of any dialect they give the points that were written."""

import dataclasses
import struct

import numpy as np
import pytest
import reader_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from point_ft_jax.data.files import ply
from point_ft_jax.data.files import points as point_files

CODES = {'double': 'd', 'float64': 'd', 'uchar': 'B', 'int32': 'i', 'int64': 'q'}
ORDERS = {'ascii': '<', 'binary_little_endian': '<', 'binary_big_endian': '>'}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a writer of PLY writes points."""

    form: str
    newline: str
    start: bytes  # before everything
    remark: str
    axes: tuple[str, ...]  # names in their order among the properties
    element: str
    others: tuple[str, ...]  # types of the properties after the axes
    lists: int  # properties that are lists
    before: int  # faces before the vertices
    after: int  # and after them
    end: bool  # a newline at the end of text


def written(points: np.ndarray, d: Dialect) -> bytes:
    """The points [N, 3] as the bytes of a file."""
    head = ['ply', f'format {d.form} 1.0', f'comment {d.remark}', f'obj_info {d.remark}']
    faces = 'property list uchar int32 vertex_indices'
    if d.before:
        head += [f'element edge {d.before}', faces, 'property uchar kind']
    head += [f'element {d.element} {len(points)}']
    head += [f'property double {name}' for name in d.axes]
    head += [f'property {kind} p{i}' for i, kind in enumerate(d.others)]
    head += [f'property list uchar float64 q{i}' for i in range(d.lists)]
    head += [f'element face {d.after}', faces]
    columns = ['xyz'.index(name.lower()) for name in d.axes]
    rows = [[*map(float, point[columns]), *(3 for _ in d.others)] for point in points]
    lists = [[(i + k) % 3 for k in range(d.lists)] for i in range(len(points))]
    header = d.newline.join([*head, 'end_header', '']).encode('latin1', 'replace')
    if d.form == 'ascii':
        edge, face = '2 7 8 1', '3 0 1 2'
        lines = [' '.join([*map(repr, row)]) for row in rows]
        lines = [
            ' '.join([line, *(f'{n} ' + '0.5 ' * n for n in own)])
            for line, own in zip(lines, lists, strict=True)
        ]
        lines = [edge] * d.before + lines + [face] * d.after
        body = d.newline.join(lines).encode() + (d.newline.encode() if d.end else b'')
        return d.start + header + body
    order = ORDERS[d.form]
    code = order + 'ddd' + ''.join(CODES[kind] for kind in d.others)
    body = struct.pack(order + 'B2iB', 2, 7, 8, 1) * d.before
    for row, own in zip(rows, lists, strict=True):
        body += struct.pack(code, *row)
        body += b''.join(struct.pack(f'{order}B{n}d', n, *[0.5] * n) for n in own)
    return d.start + header + body + struct.pack(order + 'B3i', 3, 0, 1, 2) * d.after


dialects = st.builds(
    Dialect,
    form=st.sampled_from([*ORDERS]),
    newline=st.sampled_from(['\n', '\r\n', '\r']),
    start=st.sampled_from([b'', b'\xef\xbb\xbf']),
    remark=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=9),
    axes=st.permutations(['x', 'y', 'z']).flatmap(
        lambda axes: st.sampled_from([tuple(axes), tuple(a.upper() for a in axes)])
    ),
    element=st.sampled_from(['vertex', 'VERTEX', 'point']),
    others=st.lists(st.sampled_from([*CODES]), max_size=3).map(tuple),
    lists=st.integers(0, 2),
    before=st.integers(0, 2),
    after=st.integers(0, 2),
    end=st.booleans(),
)


@settings(deadline=None, max_examples=300)
@given(
    points=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 7), st.just(3)), elements=st.floats(-1e30, 1e30)
    ),
    dialect=dialects,
)
def test_any_dialect_is_read_to_what_was_written(points: np.ndarray, dialect: Dialect) -> None:
    np.testing.assert_array_equal(ply.parse(written(points, dialect)), points)


def test_a_first_byte_that_looks_like_a_line_end_is_data() -> None:
    """In a binary file whose lines end by CR alone."""
    points = np.frombuffer(b'\n' + bytes(range(23)), '<f8').reshape(1, 3)
    dialect = Dialect(
        'binary_little_endian', '\r', b'', '', ('x', 'y', 'z'), 'vertex', (), 0, 0, 0, False
    )
    np.testing.assert_array_equal(ply.parse(written(points, dialect)), points)


def in_one_stream(separator: str) -> bytes:
    """A .ply of the corners alone, whose values stand one after the other."""
    head = reader_cases.ply().partition(b'element face')[0] + b'end_header\n'
    return head + separator.join(map(repr, reader_cases.CORNERS.ravel().tolist())).encode()


UNUSUAL = {
    'blank lines first': b'\n\n' + reader_cases.ply(),
    'a remark with a CR in it': reader_cases.ply(remark=b'a\rb', form='binary_little_endian'),
    'capitals': reader_cases.ply().replace(b'property double', b'PROPERTY Double'),
    'rows over several lines': in_one_stream('\n'),
    'all rows on one line': in_one_stream(' '),
    "Fortran's exponents": reader_cases.ply().replace(b'0.25', b'2.5D-01'),
}


@pytest.mark.parametrize('content', UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_and_clear_is_read(content):
    np.testing.assert_array_equal(ply.parse(content), reader_cases.CORNERS)


def test_what_stands_for_no_number_is_one(tmp_path):
    for word in (b'nan', b'-nan(ind)', b'1.#QNAN'):
        (tmp_path / 'a.ply').write_bytes(in_one_stream('\n').replace(b'0.0', word, 1))
        found = point_files.read(tmp_path / 'a.ply', nonfinite='drop')
        np.testing.assert_array_equal(found, reader_cases.CORNERS[1:])
