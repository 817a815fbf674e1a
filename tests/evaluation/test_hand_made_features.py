"""The yardstick of hand-made features: what it must not see, and that it tells classes apart."""

import numpy as np
import pytest
from hand_made_features import forest_accuracy, hand_made_features

from point_ft_jax.data.datasets import shapes


@pytest.fixture(scope='module')
def splits():
    options = {'style': 'cad', 'classes': 'cad40', 'num_points': 256}
    sizes = {'train_size': 280, 'test_size': 120}
    return [shapes.load(split, **options, **sizes) for split in ('train', 'test')]


def test_features_see_neither_place_nor_size(splits):
    points = splits[0].points[:40]
    np.testing.assert_allclose(
        hand_made_features(3 * points + (1, 2, 3)), hand_made_features(points), atol=0.02
    )


def test_features_are_finite_and_the_same_for_the_same_seed(splits):
    points = splits[0].points[:40]
    features = hand_made_features(points)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(hand_made_features(points), features)


def test_a_forest_on_them_is_far_above_chance_and_below_the_ceiling(splits):
    """Chance is 2.5 %; a set that the forest solved would be no test of a backbone."""
    train, test = ((split.points, split.labels) for split in splits)
    assert 0.35 < forest_accuracy(train, test) < 0.8
