"""Colours, normals and the like: read by name, carried along, turned with the surface."""

import pathlib

import h5py
import jax
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment, sampling
from point_ft_jax.data.datasets import folder
from point_ft_jax.data.files import channels, points
from point_ft_jax.data.split import Split

R = np.random.default_rng(0)
XYZ = R.uniform(-1, 1, (9, 3)).astype(np.float32)
BYTES = R.integers(0, 256, (9, 3)).astype(np.uint8)
NORMALS = R.standard_normal((9, 3)).astype(np.float32)


def ply(path: pathlib.Path) -> None:
    rows = np.zeros(9, [*((a, '<f4') for a in 'xyz'), *((c, 'u1') for c in channels.COLOURS)])
    for column, name in zip((*XYZ.T, *BYTES.T), rows.dtype.names, strict=True):
        rows[name] = column
    head = ['ply', 'format binary_little_endian 1.0', 'element vertex 9']
    head += [f'property float {a}' for a in 'xyz']
    head += [f'property uchar {c}' for c in channels.COLOURS]
    path.write_bytes('\n'.join([*head, 'end_header', '']).encode() + rows.tobytes())


def table(path: pathlib.Path, header: str = '', values: np.ndarray = BYTES) -> None:
    rows = [' '.join(map(repr, row)) for row in np.hstack([XYZ, values]).tolist()]
    path.write_text('\n'.join([header, *rows] if header else rows))


def npz(path: pathlib.Path) -> None:
    np.savez(path, points=XYZ, colors=BYTES, normals=NORMALS, intensity=XYZ[:, 0])


def npy(path: pathlib.Path) -> None:
    np.save(path, np.hstack([XYZ, BYTES]))


WRITERS = {
    'a.ply': ply,
    'a.npz': npz,
    'a.npy': npy,
    'a.csv': lambda path: table(path, 'x y z R G B'),
    'a.txt': table,
}


@pytest.mark.parametrize('name', WRITERS)
def test_colours_are_read_by_name_and_come_out_in_0_to_1(name: str, tmp_path: pathlib.Path) -> None:
    WRITERS[name](tmp_path / name)
    found = points.read(tmp_path / name, ('color',))
    np.testing.assert_allclose(found, np.hstack([XYZ, BYTES / 255]), rtol=1e-6)
    np.testing.assert_array_equal(points.read(tmp_path / name), found[:, :3])


def test_channels_come_in_the_order_asked_and_normals_as_they_are(tmp_path: pathlib.Path) -> None:
    npz(tmp_path / 'a.npz')
    found = points.read(tmp_path / 'a.npz', ('intensity', 'normal', 'blue'))
    expected = [XYZ, XYZ[:, :1], NORMALS, BYTES[:, 2:] / 255]
    np.testing.assert_allclose(found, np.hstack(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'asked', 'message'),
    [
        ('a.ply', ('normal',), 'no channel nx, ny, nz; it has blue, green, red beside x, y, z'),
        ('a.csv', ('intensity',), 'no channel intensity; it has blue, green, red beside'),
        ('a.npy', ('intensity',), 'no names for its 6 columns; for intensity there must be 4'),
        ('a.npz', ('red', 'color'), 'expected each of them once'),
        ('a.npz', ('x',), 'none of x, y, z'),
    ],
)
def test_a_channel_that_is_not_there_is_named(
    name: str, asked: tuple, message: str, tmp_path: pathlib.Path
) -> None:
    WRITERS[name](tmp_path / name)
    with pytest.raises(UserError, match=message):
        points.read(tmp_path / name, asked)


def test_a_channel_that_is_no_number_is_refused(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / 'a.npz', points=XYZ, intensity=np.full(9, np.nan))
    with pytest.raises(UserError, match='intensity hold a NaN'):
        points.read(tmp_path / 'a.npz', ('intensity',))
    np.savez(tmp_path / 'b.npz', points=XYZ, intensity=np.zeros(8))
    with pytest.raises(UserError, match='intensity differ in number from its 9 points'):
        points.read(tmp_path / 'b.npz', ('intensity',))


def test_folders_of_coloured_clouds_are_a_split(tmp_path: pathlib.Path) -> None:
    for name in ('cup', 'pot'):
        (tmp_path / name).mkdir()
        for index in range(2):
            ply(tmp_path / name / f'{index}.ply')
    split = folder.load('train', root=str(tmp_path), normalize=True, channels=('color',))
    assert split.channels == channels.COLOURS
    np.testing.assert_allclose(split.points[0, :, 3:], BYTES / 255, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(split.points[..., :3], axis=-1).max(1), 1, rtol=1e-6)
    assert split.take(np.array([0])).channels == channels.COLOURS


def test_an_h5_file_has_an_array_for_each_word(tmp_path: pathlib.Path) -> None:
    for part in ('train', 'test'):
        with h5py.File(tmp_path / f'{part}.h5', 'w') as file:
            file['data'], file['label'] = np.stack([XYZ, -XYZ]), np.array([0, 1])
            file['color'] = np.stack([BYTES, BYTES])
            file['intensity'] = np.zeros((2, 8))
    split = folder.load('test', root=str(tmp_path), channels=('color',))
    np.testing.assert_allclose(split.points[1, :, 3:], BYTES / 255, rtol=1e-6)
    with pytest.raises(UserError, match=r'intensity has shape \[2, 8, 1\]; expected \[2, 9, 1\]'):
        folder.load('test', root=str(tmp_path), channels=('intensity',))


def test_arrays_with_channels_are_a_split() -> None:
    clouds = np.stack([np.hstack([XYZ, NORMALS])] * 2)
    split = Split.from_arrays(clouds, [0, 1], channels=('normal',))
    assert split.channels == channels.NORMALS
    with pytest.raises(UserError, match=r'\[2, 9, 6\]; expected \[clouds, points, 4\] for x, y, z'):
        Split.from_arrays(clouds, [0, 1], channels=('intensity',))


def numbered() -> np.ndarray:
    """[3, 40, 4] random points, each with its own number."""
    clouds = np.random.default_rng(1).uniform(-1, 1, (3, 40, 3))
    return np.concatenate([clouds, np.arange(120.0).reshape(3, 40, 1)], 2).astype(np.float32)


@pytest.mark.parametrize(
    'sample',
    [
        lambda clouds: sampling.for_testing(clouds, 16),
        lambda clouds: sampling.for_training(jax.random.key(0), clouds, 16),
        lambda clouds: sampling.for_training(jax.random.key(0), clouds, 36),
    ],
)
def test_sampled_points_keep_their_channels(sample: callable) -> None:
    clouds = numbered()
    found = np.asarray(sample(clouds))
    np.testing.assert_array_equal(found, clouds.reshape(-1, 4)[found[..., 3].astype(int)])
    np.testing.assert_array_equal(found[..., :3], sample(clouds[..., :3]))


@pytest.mark.parametrize('name', [*augment.AUGMENTATIONS, 'rotate_y+scale_translate'])
def test_augmentations_move_places_and_turn_normals_with_the_surface(name: str) -> None:
    """A triangle's edges stay at right angles to its normal; colours stay."""
    corners = np.random.default_rng(2).standard_normal((2, 3, 3))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.broadcast_to(normals[:, None], corners.shape)
    clouds = np.concatenate([corners, np.full((2, 3, 1), 0.3), normals], 2).astype(np.float32)
    key = jax.random.key(3)
    moved = augment.named(name, ('intensity', *channels.NORMALS))(key, clouds)
    np.testing.assert_array_equal(moved[..., :3], augment.named(name)(key, clouds[..., :3]))
    np.testing.assert_array_equal(moved[..., 3], clouds[..., 3])
    edges = np.diff(moved[..., :3], axis=1)
    np.testing.assert_allclose((edges * moved[:, :2, 4:]).sum(-1), 0, atol=1e-5)
    lengths = np.linalg.norm(clouds[..., 4:], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(moved[..., 4:], axis=-1), lengths, rtol=1e-5)


def test_half_a_normal_is_refused() -> None:
    with pytest.raises(UserError, match='expected all of nx, ny, nz, or none'):
        augment.named('scale', ('nx', 'nz'))
