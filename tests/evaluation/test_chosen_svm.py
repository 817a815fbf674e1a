"""The SVM whose C held-out folds choose: blind to scale, and no worse for choosing."""

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation.linear_svm import answers, chosen_svm


def clouds(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features in which two of twenty numbers tell three classes apart, with other scales."""
    r = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    features = r.normal(size=(size, 20))
    features[:, :2] += 3 * np.stack([np.cos(2 * labels), np.sin(2 * labels)], axis=1)
    return features, labels


def test_standardised_it_does_not_see_the_scale_of_the_features() -> None:
    (x, y), (a, b) = clouds(90, 0), clouds(60, 1)
    scale = np.geomspace(1e-3, 1e3, 20)
    plain, c = chosen_svm((x, y), (a, b))
    scaled, other = chosen_svm((scale * x, y), (scale * a, b))
    np.testing.assert_array_equal(plain, scaled)
    assert c == other
    assert plain.mean() > 0.8


def test_of_one_c_it_is_the_svm_of_that_c() -> None:
    train, test = clouds(60, 0), clouds(30, 1)
    right, c = chosen_svm(train, test, standardize=False, cs=(0.1,))
    assert c == 0.1
    np.testing.assert_array_equal(right, answers(train, test, c=0.1) == test[1])


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(UserError, match='expected one C or more and two folds'):
        chosen_svm(clouds(30, 0), clouds(30, 1), cs=())
