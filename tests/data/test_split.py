"""Own arrays as a split: checked as files are, in their own units."""

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data import checks
from point_ft_jax.data.split import Split

POINTS = np.random.default_rng(0).normal(size=(4, 8, 3))


def test_arrays_and_lists_become_a_split():
    data = Split.from_arrays(POINTS.tolist(), [0, 1, 1, 0])
    np.testing.assert_array_equal(data.points, POINTS.astype(np.float32))
    assert (data.points.dtype, data.labels.dtype) == (np.float32, np.int32)
    assert data.classes == ('0', '1')


def test_classes_by_name_may_lack_clouds():
    assert Split.from_arrays(POINTS, [0, 2, 2, 0], ['bag', 'bed', 'car', 'cup']).classes[2] == 'car'


@pytest.mark.parametrize('kind', ['int64', 'float64', '>f8', 'float16'])
def test_a_split_that_was_made_by_hand_is_checked_and_has_its_types(kind):
    points = (100 * POINTS).astype(kind)
    found = Split(points, np.array([0, 1, 1, 0]), ('a', 'b')).checked()
    np.testing.assert_array_equal(found.points, points.astype(np.float32))
    assert (found.points.dtype, found.labels.dtype) == (np.dtype('float32'), np.dtype('int32'))
    with pytest.raises(UserError, match=r'labels out of range: 7; expected 0\.\.1'):
        Split(points, np.array([0, 7, 1, 0]), ('a', 'b')).checked()


def test_clouds_of_several_sizes_are_said_at_the_door_of_a_model():
    with pytest.raises(UserError, match=r'points are no regular array .*subsample the clouds to'):
        checks.check_clouds([POINTS[0], POINTS[1, :5]])


def nan():
    points = POINTS.copy()
    points[2, 3, 1] = np.nan
    return points


BAD = {
    'ragged': ([POINTS[0], POINTS[1, :5]], [0, 1], None, 'points are no regular array'),
    'one cloud': (POINTS[0], [0], None, r'shape \[8, 3\]; .*points\[None\]'),
    'flat world': (POINTS[..., :2], [0, 1, 0, 1], None, r'shape \[4, 8, 2\]; expected \[clouds'),
    'complex': (POINTS + 0j, [0, 1, 0, 1], None, 'points are complex128'),
    'words': (POINTS, ['a', 'b', 'a', 'b'], None, 'labels are <U1; expected integers'),
    'skipped label': (POINTS, [1, 2, 1, 2], None, '1 of 3 classes have no cloud: 0'),
    'too many labels': (POINTS, [0, 1, 0, 1, 0], None, '4 clouds but 5 labels; expected one'),
    'label beyond': (POINTS, [0, 1, 2, 3], ['a', 'b'], r'out of range: 2, 3; expected 0\.\.1'),
    'repeated class': (POINTS, [0, 1, 0, 1], ['a', 'a'], 'a class name occurs twice'),
    'nan': (nan(), [0, 1, 0, 1], None, r'NaN .* in 1 clouds \(numbers 2\)'),
    'infinite': (np.full((4, 8, 3), np.inf), [0, 1, 0, 1], None, 'in 4 clouds'),
    'too large': (POINTS * 1e300, [0, 1, 0, 1], None, 'in 4 clouds'),
    'no clouds': (POINTS[:0], [], None, r'shape \[0, 8, 3\]'),
}


@pytest.mark.parametrize(('points', 'labels', 'classes', 'message'), BAD.values(), ids=BAD)
def test_bad_arrays(points, labels, classes, message):
    with pytest.raises(UserError, match=message):
        Split.from_arrays(points, labels, classes)


def test_values_that_are_masked_are_missing():
    points = np.ma.masked_greater(POINTS, np.quantile(POINTS, 0.9))
    with pytest.raises(UserError, match='NaN or infinite coordinates'):
        Split.from_arrays(points, [0, 1, 0, 1])


def test_what_single_precision_takes_for_nothing_has_no_extent():
    with pytest.raises(UserError, match='4 clouds have all points in one place'):
        Split.from_arrays(POINTS * 1e-45, [0, 1, 0, 1])


def test_colours_of_another_unit_are_refused():
    for most, divisor in ((255, 255), (65535, 65535)):
        points = np.concatenate([POINTS, POINTS / POINTS.max() * most], axis=-1)
        with pytest.raises(UserError, match=f'go up to {most}; .* divide them by {divisor}'):
            Split.from_arrays(points, [0, 1, 0, 1], channels=['color'])


def test_a_label_of_a_billion_makes_no_billion_classes():
    with pytest.raises(UserError, match='there are a label of 1,000,000,000 and 4 clouds'):
        Split.from_arrays(POINTS, [0, 1, 0, 10**9])
