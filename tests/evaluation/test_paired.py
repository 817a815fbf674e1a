"""Paired differences: their interval, against simulation and at its limits."""

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation.paired import effect


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """Models and clouds each with an effect of their own; not much too wide either."""
    rng = np.random.default_rng(0)
    held, wide = 0, []
    for _ in range(300):
        models, clouds = rng.normal(0, 0.05, (4, 1)), rng.normal(0, 0.3, (1, 50))
        found = effect(0.1 + models + clouds + rng.normal(0, 0.2, (4, 50)), np.zeros((4, 50)))
        held += found.low <= 0.1 <= found.high
        wide.append(found.high - found.low)
    assert 0.93 <= held / 300 <= 1
    assert np.mean(wide) < 0.35


def test_a_difference_of_every_cloud_is_sure_and_none_is_none() -> None:
    ones, zeros = np.ones((3, 20)), np.zeros((3, 20))
    assert effect(ones, zeros).verdict == 'more'
    assert effect(zeros, ones).verdict == 'less'
    assert effect(ones, ones).verdict == 'open'


def test_pairing_takes_out_what_both_find_hard() -> None:
    hard = np.random.default_rng(0).normal(0, 1, (3, 40))
    found = effect(hard + 0.1 + 0.01 * np.random.default_rng(1).normal(size=(3, 40)), hard)
    assert 0.09 < found.low < found.high < 0.11


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(UserError, match=r'paired are \[3, 4\] and \[3, 5\]'):
        effect(np.ones((3, 4)), np.ones((3, 5)))
