"""Scores agree with scikit-learn, and say what is wrong with labels that cannot be scored."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import metrics


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 7).flatmap(
        lambda c: st.tuples(
            st.just(c),
            st.lists(
                st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=40
            ),
        )
    )
)
def test_scores_are_scikit_learns(case):
    num_classes, pairs = case
    labels, predictions = np.array(pairs).T
    confusion = metrics.confusion_matrix(labels, predictions, num_classes)
    everything = range(num_classes)
    np.testing.assert_array_equal(
        confusion, sk.confusion_matrix(labels, predictions, labels=everything)
    )
    assert metrics.overall_accuracy(confusion) == pytest.approx(
        sk.accuracy_score(labels, predictions)
    )
    with warnings.catch_warnings():  # scikit-learn warns of classes that were only predicted
        warnings.simplefilter('ignore')
        balanced = sk.balanced_accuracy_score(labels, predictions)
        recall = sk.recall_score(
            labels, predictions, labels=everything, average=None, zero_division=np.nan
        )
    assert metrics.mean_class_accuracy(confusion) == pytest.approx(balanced)
    np.testing.assert_allclose(metrics.per_class_accuracy(confusion), recall)


def test_a_class_without_clouds_has_no_accuracy_and_does_not_count():
    confusion = metrics.confusion_matrix([0, 0, 2], [0, 1, 2], 3)
    np.testing.assert_array_equal(metrics.per_class_accuracy(confusion), [0.5, np.nan, 1.0])
    assert metrics.mean_class_accuracy(confusion) == 0.75


def test_nothing_to_score_is_nan():
    confusion = metrics.confusion_matrix([], [], 2)
    assert confusion.shape == (2, 2)
    assert np.isnan(
        [metrics.overall_accuracy(confusion), metrics.mean_class_accuracy(confusion)]
    ).all()


def test_small_integers_do_not_overflow():
    labels = np.full(3, 39, np.int8)
    assert metrics.confusion_matrix(labels, labels, 40)[39, 39] == 3


def test_every_problem_of_labels_and_predictions_is_listed():
    with pytest.raises(UserError) as error:
        metrics.confusion_matrix([0, 1, 5], [0.5, 1.0], 3)
    message = str(error.value)
    assert 'labels lie in 0..5; expected 0..2 for 3 classes' in message
    assert 'predictions are float64; expected integers' in message
    assert '3 labels but 2 predictions' in message
