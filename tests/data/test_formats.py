"""Meshes and scans: read to what was written, or refused; points of surfaces evenly by area."""

import importlib
import pathlib
import struct

import fuzz
import h5py
import numpy as np
import pytest
import reader_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_cases import CORNERS, UTM

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import folder, part_folder
from point_ft_jax.data.files import mesh, named, pcd, points, scanners
from point_ft_jax.data.precision import to_float32

NEEDED = {'las': 'laspy', 'e57': 'pye57'}
CASES = [
    pytest.param(ending, content, expected, id=f'{ending}-{name}')
    for ending, cases in reader_cases.CASES.items()
    for name, (content, expected) in cases().items()
]


def needs(ending: str) -> None:
    """Skips a test whose format wants a package that is not installed."""
    if ending in NEEDED:
        pytest.importorskip(NEEDED[ending])


def vertices(path: pathlib.Path) -> np.ndarray:
    """What a file holds, of a mesh its vertices."""
    if path.suffix not in named.MESHES:
        return points.read(path)
    found = named.MESHES[path.suffix](path.read_bytes()).vertices
    return np.stack([found[axis] for axis in 'xyz'], axis=-1)


@pytest.mark.parametrize(('ending', 'content', 'expected'), CASES)
def test_a_sound_file_is_read_and_another_is_refused(tmp_path, ending, content, expected):
    needs(ending)
    path = tmp_path / f'a.{ending}'
    path.write_bytes(content)
    if expected is None:
        with pytest.raises(UserError, match=str(path)):
            points.read(path)
    else:
        np.testing.assert_allclose(vertices(path), expected, rtol=1e-15, atol=1e-12)


def write(path: pathlib.Path, content: bytes) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


MESHES = {
    'a.obj': reader_cases.obj(),
    'a.off': reader_cases.off(),
    'a.stl': reader_cases.stl(),
    'b.stl': reader_cases.stl_text(),
    'a.ply': reader_cases.ply(),
    'b.ply': reader_cases.ply(form='binary_big_endian', first=True),
}


@pytest.mark.parametrize('name', MESHES)
def test_points_of_a_mesh_lie_on_its_surface_evenly_by_area(tmp_path, name):
    path = write(tmp_path / name, MESHES[name])
    found = points.read(path, ('normal',))
    assert found.shape == (mesh.POINTS, 6)
    size = CORNERS.max(axis=0)
    away = np.minimum(abs(found[:, :3]), abs(found[:, :3] - size))
    assert (away.min(axis=1) < 1e-12).all()  # on a side of the box
    side, sign = away.argmin(axis=1), np.sign(found[:, :3] - size / 2)
    areas = size.prod() / size
    shares = np.bincount(2 * side + (sign[np.arange(len(side)), side] > 0), minlength=6)
    expected = np.repeat(areas / areas.sum() / 2, 2) * mesh.POINTS
    assert ((shares - expected) ** 2 / expected).sum() < 30  # chi-squared, 5 degrees of freedom
    outside = np.abs(found[np.arange(len(side)), 3 + side])
    np.testing.assert_allclose(outside, 1, rtol=1e-6)  # normals stand on the sides


def test_what_is_drawn_depends_on_the_files_name_and_the_seed(tmp_path):
    one = write(tmp_path / 'one.obj', reader_cases.obj())
    same = write(tmp_path / 'below/one.obj', reader_cases.obj())
    other = write(tmp_path / 'other.obj', reader_cases.obj())
    np.testing.assert_array_equal(points.read(one), points.read(same))
    for found in (points.read(other), points.read(one, seed=1)):
        assert (found != points.read(one)).any()
    assert points.read(one, surface_points=9).shape == (9, 3)


def test_a_mesh_far_from_the_origin_keeps_its_shape(tmp_path):
    far = write(tmp_path / 'a.obj', reader_cases.obj(CORNERS * 0.2 + UTM))
    near = write(tmp_path / 'b/a.obj', reader_cases.obj(CORNERS * 0.2))
    np.testing.assert_allclose(points.read(far) - UTM, points.read(near), atol=2e-9)
    with pytest.warns(UserWarning, match='far from the origin'):
        moved = to_float32(points.read(far)[None])[0]
    assert len(np.unique(moved, axis=0)) > 8000


def test_colours_of_vertices_are_interpolated(tmp_path):
    path = write(tmp_path / 'a.obj', b'v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nf 1 2 3\n')
    found = points.read(path, ('color',))
    x, y = found[:, 0], found[:, 1]
    np.testing.assert_allclose(found[:, 3:], np.stack([1 - x - y, x, y], 1), atol=1e-6)


def test_vertices_without_faces_are_a_cloud(tmp_path):
    path = write(tmp_path / 'a.obj', b'v 0 0 0\nv 1 2 3\nv 4 5 6\n')
    assert points.read(path).tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]


FLAT = b'v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n'


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.obj', FLAT, 'its triangles have no area; repair the mesh'),
        ('a.obj', FLAT.replace(b'2 2 2', b'nan 2 2'), 'a corner of a triangle is NaN, infinite'),
        ('a.obj', b'', 'no vertices in it'),
        ('a.off', b'OFF BINARY\n', "begins with 'OFF BINARY'; expected OFF, in text"),
        ('a.off', b'OFF\n1 0 0\n1 2\n', 'vertex 1 has 2 values; expected 3'),
        ('a.stl', b'solid\nendsolid\n', 'no triangles in it'),
        ('a.stl', b'PK', 'no STL: it has 2 bytes'),
        ('a.pcd', b'FIELDS x y z\n', 'no PCD header: expected a line `DATA ascii`'),
    ],
)
def test_the_message_says_what_is_wrong(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=f'{path}: .*{message}'):
        points.read(path)


@pytest.mark.parametrize('form', pcd.FORMS)
def test_the_fields_of_a_pcd_are_channels(tmp_path, form):
    path = write(tmp_path / 'a.pcd', reader_cases.pcd(form=form))
    found = points.read(path, ('color', 'intensity'))
    numbers = np.arange(8.0)
    expected = [numbers / 255, np.full(8, 128 / 255), np.ones(8), numbers / 10]
    np.testing.assert_allclose(found[:, 3:], np.stack(expected, 1), rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.integers(1, 40)), max_size=9),
)
def test_lzf_unpacks_what_was_packed(pieces):
    """Literal runs, and copies of what came before, which may run into themselves."""
    packed, data = b'', b''
    for literal, length in pieces:
        packed += bytes([len(literal) - 1]) + literal
        data += literal
        back = min(len(data), 300)
        long = struct.pack('B', length - 7) if length >= 7 else b''
        packed += bytes([min(length, 7) << 5 | (back - 1) >> 8]) + long + bytes([(back - 1) & 255])
        for _ in range(length + 2):
            data += data[-back : len(data) - back + 1]
    assert pcd.lzf(packed, len(data)) == data


def test_las_gives_intensities_and_colours_of_16_bits(tmp_path):
    needs('las')
    path = write(tmp_path / 'a.las', reader_cases.las())
    found = points.read(path, ('intensity', 'color'))
    numbers = np.arange(8.0)
    columns = [7 * numbers, 100 * numbers / 65535, 200 * numbers / 65535, np.ones(8)]
    np.testing.assert_allclose(found[:, 3:], np.stack(columns, 1), rtol=1e-6)
    import laspy

    laspy.read(path).write(tmp_path / 'a.laz')
    np.testing.assert_array_equal(points.read(tmp_path / 'a.laz'), found[:, :3])


def test_e57_gives_colours_and_places_in_the_world(tmp_path):
    needs('e57')
    path = write(tmp_path / 'a.e57', reader_cases.e57(CORNERS + UTM))
    found = points.read(path, ('color',))
    np.testing.assert_allclose(found[:, :3], CORNERS + UTM + np.array([1, 2, 3]), rtol=1e-15)
    np.testing.assert_allclose(found[:, 5], 3 * np.arange(8) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'package'), [('a.las', 'laspy[lazrs]'), ('a.laz', 'laspy[lazrs]'), ('a.e57', 'pye57')]
)
def test_a_package_that_is_missing_is_named_with_its_installation(
    tmp_path, monkeypatch, name, package
):
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f'No module named {module!r}', name=module)

    monkeypatch.setattr(scanners, 'importlib', importlib)
    monkeypatch.setattr(importlib, 'import_module', missing)
    path = write(tmp_path / name, b'')
    with pytest.raises(UserError) as caught:
        points.read(path)
    library = package.partition('[')[0]
    assert str(caught.value) == (
        f'{path}: {path.suffix} files are read by {library}, which is not installed: pip install '
        f"'{package}'"
    )


# ------------------------------------------------------------------ folders


def test_a_folder_of_mixed_formats_is_one_data_set(tmp_path):
    r = np.random.default_rng(0)
    for index, (name, content) in enumerate(MESHES.items()):
        write(tmp_path / 'box' / f'{index}{name[1:]}', content)
    for index in range(2):
        write(tmp_path / 'scan' / f'{index}.pcd', reader_cases.pcd(r.normal(size=(40, 3))))
        np.savez(tmp_path / 'scan' / f'{index}.npz', points=r.normal(size=(40, 3)))
    with pytest.warns(UserWarning, match='every cloud keeps 40 points, since scan/'):
        splits = folder.load_splits(root=str(tmp_path))
    assert sum(map(len, splits.values())) == 10
    assert splits['train'].points.shape[1:] == (40, 3)
    splits = folder.load_splits(root=str(tmp_path / '..' / tmp_path.name), num_points=20)
    assert splits['test'].points.shape[1:] == (20, 3)


def test_of_a_mesh_and_the_cloud_drawn_from_it_the_cloud_is_used(tmp_path):
    for index in range(2):
        write(tmp_path / 'box' / f'{index}.obj', reader_cases.obj())
        write(tmp_path / 'box' / f'{index}.stl', reader_cases.stl())
    np.save(tmp_path / 'box' / '0.npy', CORNERS)
    with pytest.warns(UserWarning, match='every cloud keeps 8 points, since box/0.npy'):
        splits = folder.load_splits(root=str(tmp_path))
    names = {name for split in splits.values() for name in split.names}
    assert names == {'box/0.npy', 'box/1.obj'}


def test_files_that_cannot_be_read_are_refused_or_skipped_with_a_word(tmp_path):
    for name in ('box', 'cup'):
        for index in range(4):
            write(tmp_path / name / f'{index}.obj', reader_cases.obj())
    write(tmp_path / 'cup' / 'broken.ply', b'ply')
    np.save(tmp_path / 'cup' / 'flat.npy', np.ones((9, 3)))
    with pytest.raises(UserError, match=r"(?s)1 of 10 files cannot be read.*unreadable='skip'"):
        folder.load_splits(root=str(tmp_path))
    with pytest.warns(UserWarning, match=r'2 files cannot be read and are left out: cup/brok.*'):
        splits = folder.load_splits(root=str(tmp_path), unreadable='skip')
    assert sum(map(len, splits.values())) == 8
    for index in range(4):
        write(tmp_path / 'cup' / f'{index}.obj', b'')
    with pytest.raises(UserError, match='no file of cup can be read to train on'):
        folder.load_splits(root=str(tmp_path), unreadable='skip')


def test_parts_are_a_property_of_files_with_names(tmp_path):
    header = reader_cases.PCD.format(
        fields='x y z label', sizes='4 4 4 4', types='F F F I', counts='1 1 1 1',
        width=4, count=4, form='ascii',
    )  # fmt: skip
    for index in range(3):
        rows = '\n'.join(f'{index} {i} {i * i} {i % 2}' for i in range(4))
        write(tmp_path / 'cup' / f'{index}.pcd', (header + rows).encode())
    split = part_folder.load('train', root=str(tmp_path))
    assert split.part_labels.tolist() == [[0, 1, 0, 1]] * len(split)
    write(tmp_path / 'cup' / 'a.pcd', reader_cases.pcd())
    with pytest.raises(UserError, match='no parts of its points: found x, y, z, red'):
        part_folder.load('train', root=str(tmp_path))


# ------------------------------------------------------------------ mutants


def sound_files(folder: pathlib.Path, ending: str) -> None:
    """The files of a format that are read."""
    if ending == 'h5':
        for name, packing in (('a', {}), ('b', {'compression': 'gzip', 'shuffle': True})):
            with h5py.File(folder / f'{name}.h5', 'w') as file:
                file.create_dataset('points', data=CORNERS, **packing)
                file['label'] = [0]
        return
    for index, (content, expected) in enumerate(reader_cases.CASES[ending]().values()):
        if expected is not None:
            write(folder / f'{index}.{ending}', content)
    if ending == 'las':
        import laspy

        laspy.read(folder / '0.las').write(folder / '0.laz')


@pytest.mark.parametrize('ending', ['ply', 'obj', 'off', 'stl', 'pcd', 'las', 'e57', 'h5', 'csv'])
@pytest.mark.parametrize(
    'count', [pytest.param(100, id='100'), pytest.param(5_000, id='5000', marks=pytest.mark.slow)]
)
def test_a_mutant_is_read_or_refused(tmp_path, ending, count):
    needs(ending)
    sound_files(tmp_path, ending)
    kind = 'bytes_of_e57' if ending == 'e57' else 'bytes'
    fuzz.assert_read_or_refused(fuzz.outcomes('points', tmp_path, kind, count, count), count)
