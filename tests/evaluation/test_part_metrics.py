"""Scores of part segmentation, on cases worked out by hand."""

import numpy as np
import pytest

from point_ft_jax.evaluation.part_metrics import PartEvaluation, category_mious, shape_ious

PARTS = ((0, 1), (2, 3, 4))  # of a cup and a chair


def test_the_iou_of_a_shape_is_the_mean_over_its_categorys_parts() -> None:
    truth = np.array([[0, 0, 0, 1, 1, 1]])
    answers = np.array([[0, 0, 1, 1, 1, 1]])
    # part 0: 2 of 3, part 1: 3 of 4
    assert shape_ious(truth, answers, np.array([0]), PARTS) == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_a_part_that_is_in_neither_counts_as_found() -> None:
    truth = np.array([[2, 2, 3, 3]])
    answers = np.array([[2, 3, 3, 3]])
    # part 2: 1 of 2, part 3: 2 of 3, part 4: absent
    found = shape_ious(truth, answers, np.array([1]), PARTS)
    assert found == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)


def test_a_part_that_is_in_one_of_both_only_is_missed() -> None:
    truth, answers = np.array([[2, 2, 2, 2]]), np.array([[2, 2, 2, 4]])
    # part 2: 3 of 4, part 3: absent, part 4: 0 of 1
    assert shape_ious(truth, answers, np.array([1]), PARTS) == pytest.approx((3 / 4 + 1 + 0) / 3)


def test_shapes_count_alike_in_one_mean_and_categories_in_the_other() -> None:
    ious, categories = np.array([1.0, 0.5, 0.6]), np.array([0, 1, 1])
    np.testing.assert_allclose(category_mious(ious, categories, 3), [1.0, 0.55, np.nan])
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    scores = PartEvaluation(1, ious, categories, 3, confusion).scores()
    assert scores == {
        'instance_miou': pytest.approx(0.7),
        'class_miou': pytest.approx((1.0 + 0.55) / 2),  # of the categories that have shapes
        'point_accuracy': pytest.approx(7 / 8),
        'mean_part_accuracy': pytest.approx((3 / 4 + 1) / 2),
    }


def test_nothing_to_score_is_nan() -> None:
    nothing = PartEvaluation(1, np.zeros(0), np.zeros(0, int), 2, np.zeros((3, 3), int))
    assert all(np.isnan(score) for score in nothing.scores().values())
