"""One cloud from one file: every format gives the same points, and a bad file says why."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import ply as _ply
from point_ft_jax.data.files import points as point_files

CLOUD = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
CODES = {'float': 'f', 'double': 'd', 'uchar': 'B', 'int': 'i', 'short': 'h'}
ORDERS = {'binary_little_endian': '<', 'binary_big_endian': '>'}


def ply(form, points, extra=(), faces=0, newline='\n'):
    """A PLY file's bytes: faces with a list come first, then x, y, z between other properties."""
    before, after = extra[::2], extra[1::2]
    kinds = [*before, 'double', 'double', 'double', *after]
    names = [*(f'a{i}' for i in range(len(before))), 'x', 'y', 'z']
    names += [f'b{i}' for i in range(len(after))]
    lines = ['ply', f'format {form} 1.0', 'comment made for a test', f'element face {faces}']
    lines += ['property list uchar int vertex_indices', f'element vertex {len(points)}']
    lines += [f'property {kind} {name}' for kind, name in zip(kinds, names, strict=True)]
    rows = [[*(1 for _ in before), *map(float, p), *(2 for _ in after)] for p in points]
    header = newline.join([*lines, 'end_header', '']).encode()
    face = [3, 0, 1, 2]
    if form == 'ascii':
        body = [face] * faces + rows
        return header + newline.join(' '.join(map(repr, row)) for row in body).encode()
    code = ORDERS[form] + ''.join(CODES[kind] for kind in kinds)
    body = [struct.pack(ORDERS[form] + 'B3i', *face)] * faces
    return header + b''.join([*body, *(struct.pack(code, *row) for row in rows)])


@settings(deadline=None)
@given(
    points=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 9), st.just(3)),
        elements=st.floats(-1e30, 1e30),
    ),
    form=st.sampled_from(['ascii', *ORDERS]),
    extra=st.lists(st.sampled_from(sorted(CODES)), max_size=5),
    faces=st.integers(0, 3),
    newline=st.sampled_from(['\n', '\r\n']),
)
def test_ply_gives_back_what_was_written(points, form, extra, faces, newline):
    np.testing.assert_array_equal(_ply.parse(ply(form, points, extra, faces, newline)), points)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_ply_of_any_bytes_is_a_cloud_or_a_user_error(body):
    for head in (b'', ply('binary_little_endian', CLOUD, ['int'], 2)[:150]):
        with contextlib.suppress(UserError):
            assert _ply.parse(head + body).shape[1] == 3


def text(separator, header='', extra=''):
    rows = [separator.join(map(repr, row)) + extra for row in CLOUD.tolist()]
    return '\n'.join([*([header] if header else []), *rows, '']).encode()


def save(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)
    return path


WIDE = np.concatenate([CLOUD, np.ones((7, 3))], axis=1)
GOOD = {
    'array': ('a.npy', CLOUD),
    'array with normals': ('a.npy', WIDE),
    'one array': ('a.npz', {'anything': CLOUD}),
    'named array': ('a.npz', {'color': np.zeros((2, 9)), 'points': WIDE}),
    'ply': ('a.PLY', ply('ascii', CLOUD)),
    'blanks': ('a.xyz', text(' ')),
    'tabs': ('a.txt', text('\t', extra='\t1\t2')),
    'commas': ('a.txt', text(', ', extra=', 9')),
    'semicolons': ('a.csv', text(';')),
    'header': ('a.csv', text(',', 'X,"y",Z,label', ',3')),
    'comments': ('a.xyz', b'# made by hand\n\n// again\n' + text(' ')),
    'count': ('a.pts', text(' ', '7')),
    'byte order mark': ('a.csv', b'\xef\xbb\xbf' + text(',')),
}


@pytest.mark.parametrize(('name', 'content'), GOOD.values(), ids=GOOD)
def test_every_format_gives_the_points(tmp_path, name, content):
    points = point_files.read(save(tmp_path / name, content))
    np.testing.assert_array_equal(points.astype(np.float32), CLOUD)
    assert points.flags.c_contiguous


def test_columns_are_taken_by_name(tmp_path):
    rows = [f'9,{z},{x},{y}' for x, y, z in CLOUD.tolist()]
    path = save(tmp_path / 'a.csv', '\n'.join(['id,z,x,y', *rows]).encode())
    np.testing.assert_array_equal(point_files.read(path), CLOUD)


HEADER = b'ply\nformat ascii 1.0\nelement vertex 2\n'
XYZ = b'property float x\nproperty float y\nproperty float z\nend_header\n'
LISTS = b'property list uchar int n\n'
ENDLESS = (
    b'ply\nformat binary_little_endian 1.0\nelement face 1000000000000\n'
    b'property list uchar int n\nelement vertex 1\n' + XYZ + b'\0'
)
BAD = {
    'ending': (
        'a.glb',
        b'',
        r"unknown ending '.glb'; expected one of .npy, .npz, .h5, .hdf5, .txt",
    ),
    'empty npy': ('a.npy', b'', 'no readable .npy file of numbers'),
    'pickle': ('a.npy', np.array([{}], object), 'no readable .npy file.*it holds object'),
    'records': (
        'a.npy',
        np.zeros(9, [('x', 'f4'), ('y', 'f4'), ('z', 'f4')]),
        r"numbers: save its fields as columns, np\.stack\(\[a\['x'\], a\['y'\], a\['z'\]\]",
    ),
    'one axis': ('a.npy', np.zeros(9), r'float64 of shape \[9\]; expected real numbers \[points'),
    'two columns': ('a.npy', np.zeros((9, 2)), r'shape \[9, 2\]'),
    'no rows': ('a.npy', np.zeros((0, 3)), 'no points in it'),
    'nan': (
        'a.npy',
        np.array([[0, 0, np.nan], [1, 2, 3]]),
        '1 of 2 points are NaN, infinite or missing',
    ),
    'overflow': ('a.npy', np.full((2, 3), 1e39), '2 of 2 points are NaN, infinite or missing'),
    'words': ('a.npy', np.array([['a', 'b', 'c']]), '<U1 of shape'),
    'no zip': ('a.npz', b'PK', 'no readable .npz file'),
    'two arrays': ('a.npz', {'a': CLOUD, 'b': CLOUD}, 'found the arrays a, b; name the points one'),
    'empty text': ('a.txt', b'\n# nothing\n', 'no points in it'),
    'binary text': ('a.txt', b'\xff\xfe\x00', 'no text file'),
    'ragged text': ('a.xyz', b'1 2 3\n4 5\n', 'no table of numbers: .*columns'),
    'word in text': ('a.xyz', b'1 2 3\n4 x 6\n', "no table of numbers: .*'x'"),
    'strange header': ('a.csv', b'u,v,w\n1,2,3\n', "header 'u,v,w' names no x, y, z"),
    'header alone': ('a.csv', b'x,y,z\n', 'expected real numbers|no points'),
    'no ply': ('a.ply', b'solid\nend_header\n', 'no PLY header'),
    'no end': ('a.ply', HEADER, 'no PLY header: .*end_header'),
    'format': (
        'a.ply',
        HEADER.replace(b'ascii', b'text') + XYZ,
        "header line 'format text 1.0' is",
    ),
    'no format': ('a.ply', b'ply\nelement vertex 2\n' + XYZ, 'no format line; expected one of'),
    'type': ('a.ply', HEADER + b'property real x\n' + XYZ, "header line 'property real x' is no"),
    'no vertex': (
        'a.ply',
        HEADER.replace(b'vertex', b'node') + XYZ.replace(b' z', b' w'),
        'no element vertex; found node',
    ),
    'no z': ('a.ply', HEADER + XYZ.replace(b' z', b' w'), 'no x, y, z; found x, y, w'),
    'list': ('a.ply', HEADER + LISTS + XYZ + b'2 5 0 0 0\n' * 2, 'vertex 1 has 2 values'),
    'more ascii': ('a.ply', HEADER + XYZ + b'0 0 1\n' * 3, '2 rows announced but 3 are there'),
    'more binary': ('a.ply', ply('binary_big_endian', CLOUD) + b'0' * 24, '7 vertices .* but 8'),
    'a long header': (
        'a.ply',
        HEADER.replace(b'ascii 1.0\n', b'ascii 1.0\n' + b'comment a\n' * 110_000) + XYZ,
        'no PLY header: .*within a MiB',
    ),
    'many elements': (
        'a.ply',
        HEADER + XYZ.replace(b'end_header', b'element e 0\n' * 2000 + b'end_header'),
        '2,001 elements, of which no cloud',
    ),
    'twice': ('a.ply', HEADER + b'property float x\n' + XYZ, 'occurs twice'),
    'endless': ('a.ply', ENDLESS, 'rows of face announced but only 1 are there'),
    'few ascii': ('a.ply', HEADER + XYZ + b'0 0 0\n', '2 vertices announced but only 1 are there'),
    'few binary': ('a.ply', ply('binary_big_endian', CLOUD)[:-1], 'announced but only 6 are there'),
    'short row': ('a.ply', HEADER + XYZ + b'0 0 0\n1 1\n', 'vertex 2 has 2 values; expected 3'),
    'no number': ('a.ply', HEADER + XYZ + b'0 0 0\n1 1 l\n', 'a value that is no number'),
}


@pytest.mark.parametrize(('name', 'content', 'message'), BAD.values(), ids=BAD)
def test_bad_file_is_named_with_the_reason(tmp_path, name, content, message):
    path = save(tmp_path / name, content)
    with pytest.raises(UserError, match=f'(?s){path}: .*({message})'):
        point_files.read(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r'no file .*a\.ply'):
        point_files.read(tmp_path / 'a.ply')
