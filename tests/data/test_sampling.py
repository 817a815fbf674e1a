"""From stored clouds to what a model sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_models import clouds

from kernels import farthest_point_sample, gather_points
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment, sampling
from point_ft_jax.evaluation import inference

KEY = jax.random.key(0)


def test_testing_on_all_points_is_sampling_them_all_up_to_order() -> None:
    points = clouds(3, 200, 5)
    points[:, 20:40] *= 0.02  # near the origin
    every = gather_points(jnp.asarray(points), farthest_point_sample(points, 200))
    found = np.asarray(sampling.for_testing(jnp.asarray(points), 200))
    for a, b in zip(np.asarray(every), found, strict=True):
        np.testing.assert_array_equal(a[np.lexsort(a.T)], b[np.lexsort(b.T)])
    np.testing.assert_array_equal(found[:, 0], points[:, 0])


def test_testing_on_fewer_takes_the_farthest() -> None:
    points = jnp.asarray(clouds(2, 200, 6))
    expected = gather_points(points, farthest_point_sample(points, 50))
    np.testing.assert_array_equal(sampling.for_testing(points, 50), expected)


@pytest.mark.parametrize(('wanted', 'available'), [(64, 200), (200, 200), (190, 200)])
def test_training_takes_points_of_the_cloud_without_repeats(wanted: int, available: int) -> None:
    points = jnp.asarray(clouds(2, available, 7) + 2.0)  # nothing near the origin
    found = np.asarray(sampling.for_training(KEY, points, wanted))
    assert found.shape == (2, wanted, 3)
    for cloud, some in zip(np.asarray(points), found, strict=True):
        rows = {tuple(row) for row in some}
        assert len(rows) == wanted
        assert rows <= {tuple(row) for row in cloud}


def test_one_random_subset_serves_the_whole_batch() -> None:
    """Of 90 points, all of which are the pool."""
    once = np.broadcast_to(clouds(1, 90, 9) + 2.0, (3, 90, 3))  # nothing near the origin
    found = np.asarray(sampling.for_training(KEY, jnp.asarray(once), 80))
    np.testing.assert_array_equal(found, np.broadcast_to(found[:1], found.shape))


def test_training_draws_anew_for_every_key() -> None:
    points = jnp.asarray(clouds(2, 100, 8))
    first, second = (sampling.for_training(jax.random.key(k), points, 64) for k in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ('points', 'available', 'pool'),
    [
        (1024, 8192, 1200),
        (2048, 2048, 2048),
        (2048, 8192, 2400),
        (8192, 8192, 8192),
        (100, 500, 120),
    ],
)
def test_the_pool_is_the_references(points: int, available: int, pool: int) -> None:
    assert sampling.pool_size(points, available) == pool


def test_clouds_that_are_too_small_are_said() -> None:
    with pytest.raises(UserError, match='takes 300 points and the clouds have 200'):
        inference.prepare(clouds(2, 200, 9), 300)


def test_rotation_keeps_heights_and_lengths_and_turns_every_cloud_by_itself() -> None:
    points = jnp.asarray(clouds(4, 50, 10))
    turned = augment.named('rotate_y')(KEY, points)
    np.testing.assert_array_equal(turned[..., 1], points[..., 1])
    norms = (np.linalg.norm(a, axis=-1) for a in (turned, points))
    np.testing.assert_allclose(*norms, rtol=1e-5)
    angles = np.arctan2(turned[:, 0, 2], turned[:, 0, 0]) - np.arctan2(
        points[:, 0, 2], points[:, 0, 0]
    )
    assert len(np.unique(np.round(angles, 3))) == 4


def test_any_rotation_keeps_lengths_and_is_a_rotation() -> None:
    corners = jnp.broadcast_to(jnp.eye(3), (400, 3, 3))
    turned = np.asarray(augment.named('rotate')(KEY, corners))
    np.testing.assert_allclose(turned @ turned.swapaxes(1, 2), corners, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(turned), 1, atol=1e-5)
    assert np.abs(turned.mean(axis=0)).max() < 0.1  # every direction is as likely


def test_scale_and_translation_stay_in_their_ranges() -> None:
    ones = jnp.ones((500, 2, 3))
    scaled = augment.named('scale')(KEY, ones)
    moved = augment.named('translate')(KEY, ones) - ones
    assert 2 / 3 <= scaled.min() < 0.7
    assert 1.4 < scaled.max() <= 3 / 2
    assert -0.2 <= moved.min() < -0.19
    assert 0.19 < moved.max() <= 0.2
    np.testing.assert_array_equal(scaled[:, 0], scaled[:, 1])


def test_augmentations_compose_and_unknown_ones_are_said() -> None:
    points = jnp.ones((2, 3, 3))
    both = augment.named('scale+translate')(KEY, points)
    assert both.shape == points.shape
    np.testing.assert_array_equal(augment.named('')(KEY, points), points)
    with pytest.raises(UserError, match="no augmentation 'flip'; there are none, scale"):
        augment.named('scale+flip')
