"""The corruption suites: sizes, recipes, independence of the batch, scores, the official files."""

import pathlib

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import corruptions
from point_ft_jax.evaluation.corruptions import corrupt, modelnet40_c, modelnet_c, official, scores

MODELNET_C, MODELNET40_C = corruptions.SUITES
CASES = [(suite, name) for suite, found in corruptions.SUITES.items() for name in found]


def clouds(size: int, points: int) -> np.ndarray:
    """Clouds in the unit sphere."""
    r = np.random.default_rng([size, points])
    p = r.standard_normal((size, points, 3)) * [1.0, 0.6, 0.3]
    p -= p.mean(1, keepdims=True)
    return (p / np.linalg.norm(p, axis=-1).max(1)[:, None, None]).astype(np.float32)


SIZES = {  # points left of 1,024 at severities 1 to 5
    'dropout_global': (768, 640, 512, 384, 256),
    'dropout_local': (924, 824, 724, 624, 524),
    'add_global': (1034, 1044, 1054, 1064, 1074),
    'add_local': (1124, 1224, 1324, 1424, 1524),
    'upsampling': (1228, 1280, 1365, 1536, 2048),
    'background': (1046, 1049, 1053, 1058, 1075),
    'cutout': (964, 934, 874, 814, 724),
    'density': (949, 874, 799, 724, 649),
}


@pytest.mark.parametrize(('suite', 'name'), CASES)
def test_as_many_points_are_left_as_the_recipe_says(suite: str, name: str) -> None:
    points = 2048 if name == 'density_inc' else 1024
    found = [
        jax.eval_shape(
            lambda key, cloud, s=severity: corruptions.find(name, s, suite)(key, cloud, s),
            jax.random.key(0),
            jnp.zeros((points, 3)),
        ).shape
        for severity in corruptions.SEVERITIES
    ]
    assert found == [(size, 3) for size in SIZES.get(name, (1024,) * 5)]


@pytest.mark.parametrize(('suite', 'name'), CASES)
def test_a_cloud_is_corrupted_the_same_whatever_is_beside_it(suite: str, name: str) -> None:
    points = clouds(5, 128)
    whole = corrupt(points, name, 3, suite=suite, batch_size=5)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    few = corrupt(points[:3], name, 3, suite=suite, batch_size=5)
    np.testing.assert_allclose(few, whole[:3], atol=1e-6)
    assert not np.allclose(whole[0], whole[1])


def one(suite: str, name: str, severity: int, cloud: np.ndarray, seed: int = 0) -> np.ndarray:
    function = corruptions.find(name, severity, suite)
    return np.asarray(
        jax.jit(lambda key, p: function(key, p, severity))(jax.random.key(seed), cloud)
    )


def rows(points: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in points}


@pytest.mark.parametrize(
    ('suite', 'name'),
    [
        (MODELNET_C, 'dropout_global'),
        (MODELNET_C, 'dropout_local'),
        (MODELNET40_C, 'cutout'),
        (MODELNET40_C, 'density'),
    ],
)
def test_what_is_left_is_a_part_of_the_cloud(suite: str, name: str) -> None:
    cloud = clouds(1, 512)[0]
    left = one(suite, name, 4, cloud)
    assert rows(left) < rows(cloud)
    assert len(rows(left)) == len(left)


@pytest.mark.parametrize(
    ('suite', 'name'), [(MODELNET_C, 'dropout_local'), (MODELNET40_C, 'cutout')]
)
def test_what_a_local_dropout_takes_away_are_whole_balls(suite: str, name: str) -> None:
    """Each removed point has a nearer removed neighbour than a random removal would give it."""
    cloud = clouds(1, 1024)[0]
    left = rows(one(suite, name, 2, cloud))
    gone = np.array([row.tobytes() not in left for row in cloud])
    distances = np.linalg.norm(cloud[:, None] - cloud, axis=-1) + 9 * np.eye(len(cloud))
    neighbours = np.argsort(distances[gone], axis=1)[:, :5]
    assert gone[neighbours].mean() > 2 * gone.mean()


def test_points_are_added_where_the_recipe_says() -> None:
    cloud = clouds(1, 1024)[0]
    everywhere = one(MODELNET_C, 'add_global', 5, cloud)
    np.testing.assert_array_equal(everywhere[:1024], cloud)
    radii = np.linalg.norm(everywhere[1024:], axis=-1)
    assert radii.max() <= 1
    assert 0.6 < np.median(radii) < 0.95  # of a ball: 0.79
    near = one(MODELNET_C, 'add_local', 5, cloud)[1024:]
    gaps = np.linalg.norm(near[:, None] - cloud, axis=-1).min(1)
    assert np.linalg.norm(near, axis=-1).max() <= 1 + 1e-6
    assert np.quantile(gaps, 0.9) < 0.4


def test_noise_has_the_size_of_its_severity() -> None:
    cloud = clouds(1, 2000)[0] * 0.8
    for severity in (1, 5):
        noise = one(MODELNET_C, 'jitter', severity, cloud) - cloud
        np.testing.assert_allclose(noise.std(), 0.01 * severity, rtol=0.05)
        noise = one(MODELNET40_C, 'gaussian', severity, cloud) - cloud
        np.testing.assert_allclose(noise.std(), 0.005 + 0.005 * severity, rtol=0.05)


@pytest.mark.parametrize('severity', [1, 5])
def test_a_rotation_turns_by_no_more_than_its_severity(severity: int) -> None:
    cloud = clouds(1, 64)[0]
    turned = one(MODELNET_C, 'rotate', severity, cloud)
    np.testing.assert_allclose(turned @ turned.T, cloud @ cloud.T, atol=1e-5)
    matrix = np.linalg.lstsq(cloud, turned, rcond=None)[0]
    angle = np.degrees(np.arccos((np.trace(matrix) - 1) / 2))
    assert 0 < angle < 6 * severity * 3**0.5
    c = (2.5, 15)[severity > 1]
    turned = one(MODELNET40_C, 'rotation', severity, cloud)
    matrix = np.linalg.lstsq(cloud - cloud.mean(0), turned - turned.mean(0), rcond=None)[0]
    matrix /= np.cbrt(np.linalg.det(matrix))
    angle = np.degrees(np.arccos((np.trace(matrix) - 1) / 2))
    assert angle < (c + 2.5) * 3**0.5


def test_a_radial_distortion_moves_the_lattice_by_its_severity_and_the_rest_smoothly() -> None:
    lattice = modelnet40_c.LATTICE.astype(np.float32)
    for inverse in (False, True):
        follow = jax.jit(lambda k, p, i=inverse: modelnet40_c._follow(k, p, 4, i))
        moved = np.asarray(follow(jax.random.key(0), lattice)) - lattice
        np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), 0.1, atol=2e-3)
        beside = lattice * 0.999
        shift = np.asarray(follow(jax.random.key(0), beside)) - beside
        np.testing.assert_allclose(shift, moved, atol=0.02)


def test_a_free_form_lattice_that_moves_as_one_moves_all_points_alike() -> None:
    """The polynomials are a partition of unity, and reproduce the coordinate."""
    t = np.linspace(0, 1, 7, dtype=np.float32)
    weights = np.asarray(modelnet40_c._bernstein(jnp.asarray(t)))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(weights @ (np.arange(5) / 4), t, atol=1e-6)
    cloud = clouds(1, 64)[0]
    moved = one(MODELNET40_C, 'distortion', 1, cloud)
    assert 1e-3 < np.abs(moved - np.asarray(modelnet40_c.normalize(cloud))).max() < 0.7


def test_a_normalised_cloud_reaches_from_minus_one_to_one_along_its_longest_side() -> None:
    found = one(MODELNET40_C, 'shear', 3, clouds(1, 100)[0])
    low, high = found.min(0), found.max(0)
    np.testing.assert_allclose(low, -high, atol=1e-6)
    np.testing.assert_allclose(high.max(), 1, atol=1e-6)


def test_scaling_ends_in_the_unit_sphere() -> None:
    found = one(MODELNET_C, 'scale', 5, clouds(1, 100)[0])
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1).max(), 1, atol=1e-6)


def test_dgcnn_has_the_errors_of_dgcnn_and_a_perfect_model_none() -> None:
    dgcnn = {name: dict.fromkeys(range(5), value) for name, value in scores.DGCNN.items()}
    found = scores.corruption_errors(scores.DGCNN_CLEAN, dgcnn)
    assert found == {'mCE': 1.0, 'RmCE': 1.0, 'mOA': 0.764}
    perfect = {name: {0: 1.0} for name in scores.DGCNN}
    assert scores.corruption_errors(1.0, perfect) == {'mCE': 0.0, 'RmCE': 0.0, 'mOA': 1.0}
    np.testing.assert_allclose(scores.mean_error({'a': {1: 0.9, 2: 0.7}, 'b': {1: 0.8}}), 0.2)


@pytest.fixture
def release(tmp_path: pathlib.Path) -> pathlib.Path:
    """A release with one cloud of every class: the file sizes of the real one, in small."""
    folder = tmp_path / 'modelnet_c'
    folder.mkdir()
    for i, stem in enumerate(
        ['clean', *(f'{n}_{level}' for n in modelnet_c.CORRUPTIONS for level in range(5))]
    ):
        with h5py.File(folder / f'{stem}.h5', 'w') as file:
            file['data'] = clouds(40, 16 + i)
            file['label'] = np.arange(40, dtype=np.uint8)[:, None]
    return tmp_path


def test_the_official_files_are_read_with_as_many_points_as_they_have(
    release: pathlib.Path,
) -> None:
    assert official.check(str(release)) == release / 'modelnet_c'
    clean = official.read(str(release), official=False)
    last = official.read(str(release), 'add_local', 4, official=False)
    assert (clean.points.shape, last.points.shape) == ((40, 16, 3), (40, 51, 3))
    assert last.labels.tolist() == list(range(40))
    assert len(last.classes) == 40


def test_what_is_wrong_with_an_official_file_is_said(release: pathlib.Path) -> None:
    root = str(release)
    with pytest.raises(UserError, match='40 clouds; the release has 2,468'):
        official.read(root)
    with pytest.raises(UserError, match="no file of 'rain'; there are clean, scale"):
        official.read(root, 'rain', 1)
    with pytest.raises(UserError, match='level of scale is 5; expected 0 to 4'):
        official.read(root, 'scale', 5)
    with pytest.raises(UserError, match='level of clean is 1; expected None'):
        official.read(root, 'clean', 1)
    (release / 'modelnet_c' / 'rotate_3.h5').unlink()
    with pytest.raises(UserError, match=r'lacks 1 of the 36 files of ModelNet-C: rotate_3\.h5'):
        official.check(root)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda p: corrupt(p, 'rain', 1), "no corruption 'rain' in modelnet_c_regenerated"),
        (lambda p: corrupt(p, 'jitter', 0), 'severity is 0; expected 1'),
        (lambda p: corrupt(p, 'jitter', 1, suite='modelnet_c'), "no suite 'modelnet_c'"),
        (lambda p: scores.corruption_errors(0.9, {'scale': {0: 0.9}}), 'jitter is missing'),
        (
            lambda p: scores.corruption_errors(
                90.0, {**{n: {0: 0.9} for n in scores.DGCNN}, 'fog': {0: 0.5}}
            ),
            r'(?s)fog is none of ModelNet-C.*clean is 90.0; expected an accuracy in 0\.\.1',
        ),
    ],
)
def test_a_mistake_ends_in_its_message(call: callable, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(clouds(2, 32))
