"""Clouds unlike those of the training: compared at every door of a model, by one measure."""

import json
import warnings

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import check_clouds
from point_ft_jax.data.likeness import batch_differences, differences, measures

# Taller than they are wide, and wider than they are deep: the z axis is up.
TRAIN = np.random.default_rng(0).uniform(-1, 1, (40, 64, 3)) * (0.3, 0.6, 1.2)
LIKE = np.random.default_rng(1).uniform(-1, 1, (20, 64, 3)) * (0.3, 0.6, 1.2)
MEASURED = json.loads(json.dumps(measures(TRAIN)))


def test_like_clouds_pass_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_clouds(LIKE, (), MEASURED)
        check_clouds(LIKE * 1000, (), {})  # nothing was measured
    assert differences(LIKE[0], MEASURED) == []


UNLIKE = {
    'mm for m': (LIKE * 1000, r'20 of 20, the first with radius \S+, trained on about 1\.\d+ \(--'),
    'another up axis': (LIKE[..., [0, 2, 1]], 'axes seem to be in the order x, z, y: is another'),
    'turned about': (LIKE[..., [2, 0, 1]], 'axes seem to be in the order y, z, x'),
    'fewer points': (LIKE[:, :50], '20 of 20, the first with 50 points, trained on 64'),
    'one of mm': (LIKE[:1] * 1000, '1 of 1, the first with radius'),
}


@pytest.mark.parametrize(('clouds', 'message'), UNLIKE.values(), ids=UNLIKE)
def test_unlike_clouds_are_warned_of(clouds, message):
    with pytest.warns(
        UserWarning, match=f'differ from those that the model was trained on: .*{message}'
    ):
        check_clouds(clouds, (), MEASURED)


def test_few_odd_clouds_and_turned_sets_are_no_matter():
    assert batch_differences(np.concatenate([LIKE[:9], LIKE[:4] * 1000]), MEASURED) == []
    even = np.random.default_rng(2).uniform(-1, 1, (40, 64, 3))
    assert batch_differences(even[:, :, [1, 2, 0]], measures(even)) == []


def with_nan():
    clouds = LIKE.copy()
    clouds[3, 5, 1] = np.nan
    return clouds


@pytest.mark.parametrize(
    ('clouds', 'message'),
    [
        (np.zeros((2, 64, 3)), '2 clouds have all points in one place'),
        (with_nan(), r'NaN or infinite coordinates in 1 clouds \(numbers 3\)'),
        (np.concatenate([LIKE, LIKE], axis=2), r'expected \[clouds, points, 3\]: keep x, y, z'),
        (LIKE.swapaxes(1, 2), 'swap the last two axes'),
    ],
)
def test_what_no_reader_takes_no_door_takes(clouds, message):
    with pytest.raises(UserError, match=message):
        check_clouds(clouds, (), MEASURED)
