"""Averages of several trees beyond the plain mean: greedy soup, moving average, Model Stock."""

import itertools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space.arithmetic import same_form, soup
from point_ft_jax.weight_space.deltas import moved, vectors

Score = Callable[[Tree], float]  # of weights on held-out clouds; the higher the better


def greedy_soup(thetas: Sequence[Tree], score: Score) -> Tree:
    """The mean of those trees that `greedy_members` selects: Wortsman et al.'s greedy soup.

    Model soups, ICML 2022, arXiv 2203.05482, recipe 1. By `score`, it is never worse than the best
    tree. Of one tree it is that tree.

    Args:
        thetas: trees of one form, one or more.
        score: weights to a number, the higher the better, as the accuracy on held-out clouds. Not
            on test clouds: the soup is selected by it.

    Raises:
        UserError: no tree, trees of different forms, or a score that is not a number.

    Examples:
        >>> trees = [{'x': np.float32([v])} for v in (0, 3, 6)]
        >>> greedy_soup(trees, score=lambda theta: -abs(float(theta['x'][0]) - 4))['x'].tolist()
        [4.5]
    """
    return soup([thetas[i] for i in greedy_members(thetas, score)])


def greedy_members(thetas: Sequence[Tree], score: Score) -> list[int]:
    """The places in `thetas` of a greedy soup's members, the best alone first.

    From the best tree to the worst, each is added if the soup with it scores no less than without;
    of equal trees the earlier goes first. Calls `score` at most 2 N - 1 times.

    Args:
        thetas, score: see `greedy_soup`.

    Raises:
        UserError: see `greedy_soup`.

    Examples:
        >>> trees = [{'x': np.float32([v])} for v in (0, 3, 6)]
        >>> greedy_members(trees, score=lambda theta: -abs(float(theta['x'][0]) - 4))
        [1, 2]
    """
    if not thetas:
        raise UserError('no tree is given; expected one or more')
    same_form({f'tree {i}': theta for i, theta in enumerate(thetas)})
    alone = [checked(score(theta)) for theta in thetas]
    order = sorted(range(len(thetas)), key=lambda i: -alone[i])
    members, best = order[:1], alone[order[0]]
    for i in order[1:]:
        found = checked(score(soup([thetas[j] for j in (*members, i)])))
        if found >= best:
            members, best = [*members, i], found
    return members


def checked(score: float) -> float:
    """A score as a float; UserError if it is not a number."""
    score = float(score)
    if np.isnan(score):
        raise UserError('a score is not a number (NaN): weights can only be compared by numbers')
    return score


def ema(thetas: Sequence[Tree], *, decay: float = 0.9) -> Tree:
    """The exponential moving average of a trajectory, a_t = d a_(t-1) + (1 - d) theta_t.

    Of checkpoints in the order of training; a_0 = theta_0. A decay of 0 gives the last tree, of 1
    the first; of one tree it is that tree.

    Args:
        thetas: trees of one form, the earliest first.
        decay: d, in 0..1.

    Raises:
        UserError: no tree, trees of different forms, or a decay out of range.

    Examples:
        >>> ema([{'x': np.float32([v])} for v in (0, 4, 8)], decay=0.5)['x'].tolist()
        [5.0]
    """
    if not 0 <= decay <= 1:
        raise UserError(f'decay is {decay}; expected a number in 0..1')
    last = len(thetas) - 1
    shares = [decay ** (last - i) * (1 - decay if i else 1) for i in range(len(thetas))]
    return soup(thetas, shares)


def model_stock(base: Tree, thetas: Sequence[Tree]) -> Tree:
    """Model Stock: t mean(theta_t) + (1 - t) theta_0, leaf by leaf, t = N c / (1 + (N - 1) c).

    c is the mean cosine of the pairs of v_t = theta_t - theta_0: trees that agree are kept
    (c = 1, t = 1), trees at right angles are left for theta_0 (c = 0, t = 0). Jang et al., ECCV
    2024, arXiv 2403.19522; the authors released no code, and this is the common reading of it, with
    one angle a tensor. It does not bound t: changes at more than a right angle (c < 0) give t < 0,
    beyond theta_0. Where t has no value (changes whose directions sum to 0) it is 0.

    Args:
        base: theta_0, from which all were fine-tuned.
        thetas: theta_t, trees of one form, two or more.

    Raises:
        UserError: fewer than two trees, or trees of different forms.

    Examples:
        >>> base = {'x': np.zeros(2, np.float32)}
        >>> model_stock(base, [{'x': np.float32([2, 0])}, {'x': np.float32([0, 2])}])['x'].tolist()
        [0.0, 0.0]
        >>> model_stock(base, [{'x': np.float32([2, 0])}, {'x': np.float32([4, 0])}])['x'].tolist()
        [3.0, 0.0]
    """
    if len(thetas) < 2:
        raise UserError(
            f'model_stock measures the angle between trees and got {len(thetas)}; expected two or '
            'more that were fine-tuned from the same base'
        )
    changes = vectors(base, thetas)

    def leaf(*v: np.ndarray) -> np.ndarray:
        return _stock_share(v) * np.mean(v, axis=0)

    return moved(base, jax.tree.map(leaf, *changes))


def _stock_share(changes: Sequence[np.ndarray]) -> float:
    """The t of Model Stock, from the changes of one leaf; a change of 0 is at right angles."""
    norms = [np.linalg.norm(v) for v in changes]
    units = [v / n if n else v for v, n in zip(changes, norms, strict=True)]
    c = np.mean([np.vdot(a, b) for a, b in itertools.combinations(units, 2)])
    below = 1 + (len(changes) - 1) * c  # |sum of units|^2 / N, so that it is 0 or more
    return len(changes) * c / below if below > 1e-12 else 0.0
