"""Far from the origin: what a file holds in double precision is not lost on its way to a model."""

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import check_clouds
from point_ft_jax.data.datasets import folder, part_folder, scanobjectnn
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.precision import to_float32
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.corruptions import official

UTM = np.array([452_000.0, 5_412_000.0, 300.0])
SMALL = np.random.default_rng(0).uniform(-0.1, 0.1, (4, 64, 3))  # clouds of 0.2 m about the origin
FAR = SMALL + UTM


def text(path, cloud):
    np.savetxt(path, cloud, fmt='%.17g')


def ply(path, cloud):
    names = ''.join(f'property double {axis}\n' for axis in 'xyz')
    head = f'ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud)}\n{names}end_header\n'
    path.write_bytes(head.encode() + cloud.astype('<f8').tobytes())


WRITERS = {'a.txt': text, 'a.ply': ply, 'a.npy': np.save}


@pytest.mark.parametrize('name', WRITERS)
def test_a_file_is_read_in_its_own_precision(tmp_path, name):
    WRITERS[name](tmp_path / name, FAR[0])
    np.testing.assert_array_equal(point_files.read(tmp_path / name), FAR[0])


@pytest.mark.parametrize(
    ('plugin', 'name'),
    [*((folder, name) for name in WRITERS), (part_folder, 'a.txt'), (part_folder, 'a.npy')],
)
def test_a_normalised_folder_is_that_of_the_clouds_near_the_origin(tmp_path, plugin, name):
    for split in ('train', 'test'):
        for index, cloud in enumerate(FAR):
            place = tmp_path / split / 'bag'
            place.mkdir(parents=True, exist_ok=True)
            table = np.c_[cloud, np.zeros(64)] if plugin is part_folder else cloud
            WRITERS[name](place / f'{index}{name[1:]}', table)
    data = plugin.load('train', root=str(tmp_path), normalize=True)
    assert data.points.dtype == np.float32
    np.testing.assert_allclose(data.points, unit_sphere(SMALL), atol=1e-7)


def test_an_h5_of_doubles_is_normalised_in_its_own_precision(tmp_path):
    for split in ('train', 'test'):
        with h5py.File(tmp_path / f'{split}.h5', 'w') as file:
            file['data'], file['label'] = FAR, np.zeros(4, int)
    data = folder.load('train', root=str(tmp_path), normalize=True)
    np.testing.assert_allclose(data.points, unit_sphere(SMALL), atol=1e-7)


@pytest.mark.parametrize(
    'door',
    [to_float32, check_clouds, lambda points: Split.from_arrays(points, [0] * 4).points],
    ids=['to_float32', 'check_clouds', 'from_arrays'],
)
def test_far_clouds_that_keep_their_units_are_moved_with_a_word(door):
    with pytest.warns(
        UserWarning, match=r'4 of 4 clouds lie far .* an extent of 0\.\d+ at 5412000'
    ):
        points = door(FAR)
    expected = SMALL - SMALL.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(points, expected, atol=1e-8)


def test_near_clouds_keep_their_place_beside_far_ones():
    mixed = np.stack([SMALL[0] + 1, FAR[0]])
    with pytest.warns(UserWarning, match='1 of 2 clouds lie far from the origin: number 1'):
        points = to_float32(mixed)
    np.testing.assert_array_equal(points[0], mixed[0].astype(np.float32))


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_clouds_that_lost_their_shape_before_they_were_saved_are_refused(dtype):
    rounded = FAR.astype(np.float32).astype(dtype)
    with pytest.raises(UserError, match='4 clouds have lost their shape to rounding: numbers 0, 1'):
        check_clouds(rounded)


def test_a_grid_of_whole_metres_is_no_rounding():
    grid = np.stack(np.meshgrid(*[np.arange(9.0)] * 3), -1).reshape(1, -1, 3) + UTM
    with pytest.warns(UserWarning, match='far from the origin'):
        assert check_clouds(grid).shape == (1, 729, 3)


@pytest.mark.parametrize('data', [FAR, (FAR * 1000).astype(np.int64)])
def test_scans_and_corrupted_clouds_are_moved_before_they_are_cast(tmp_path, data):
    (tmp_path / 'main_split').mkdir()
    for name in ('main_split/training_objectdataset.h5', 'clean.h5'):
        with h5py.File(tmp_path / name, 'w') as file:
            file['data'], file['label'] = np.tile(data, (10, 1, 1)), np.arange(40) % 15
    for read in (
        lambda: scanobjectnn.load('train', root=str(tmp_path), official=False).points,
        lambda: official.read(str(tmp_path), official=False).points,
    ):
        with pytest.warns(UserWarning, match='40 of 40 clouds lie far from the origin'):
            points = read()
        expected = data[0] - data[0].mean(0)
        np.testing.assert_allclose(points[0], expected, atol=1e-6 * np.ptp(expected))


def beside_the_origin() -> np.ndarray:
    """Clouds far from the origin, each with one point there: what a scanner did not see."""
    clouds = FAR.copy()
    clouds[:, 3] = 0
    return clouds


def test_a_cloud_beside_a_point_far_from_it_is_refused(tmp_path):
    with pytest.raises(UserError, match='4 clouds are too small beside the distance of single'):
        Split.from_arrays(beside_the_origin(), [0, 1, 0, 1])
    for index, cloud in enumerate(beside_the_origin()):
        place = tmp_path / ('bag', 'cup')[index % 2]
        place.mkdir(exist_ok=True)
        np.save(place / f'{index}.npy', cloud)
    with pytest.raises(UserError, match=r'bag/\d\.npy.*Remove the points that are far from'):
        folder.load('train', root=str(tmp_path), normalize=True)


@pytest.mark.parametrize('zeros', [0, 20, 50, 63])
def test_clouds_filled_up_with_zeros_are_read(zeros):
    clouds = SMALL.copy()
    clouds[:, :zeros] = 0
    clouds[:, -1] = 0.5
    np.testing.assert_array_equal(check_clouds(clouds), clouds.astype(np.float32))
