"""Editing one fine-tuned tree by the singular values of what changed: MonoSoup."""

from collections.abc import Callable

import jax
import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space.arithmetic import same_form
from point_ft_jax.weight_space.deltas import wide

ENERGY_FLOOR = 1e-12  # added to the energy of a change, as in the reference
SMALLEST_CHANGE = 1e-6  # of a tensor's norm; below it the tensor counts as unchanged


def mono_soup(base: Tree, theta: Tree, *, rank: str = 'variance', energy: float = 0.8) -> Tree:
    """MonoSoup: theta_0 + l_high D_high + l_low D_low, the two halves of D = theta_1 - theta_0.

    For a tensor of two or more axes, as a matrix [rest, out] with singular values s_1 >= s_2 >= …,
    D_high is the part of D of the first k, and D_low the rest. With P the share of the first k in
    the sum of s_i^2 and r = (s_(k+1) / s_1)^2 (0 if there is none),

        l_low = r + (1 - r) sqrt(1 - P),    l_high = 1 - l_low.

    Vectors, and tensors that changed by less than 1e-6 of their norm, are theta_1's. From one
    checkpoint, without data: arXiv 2602.09689 (ICML 2026). Of no change it makes none.

    Args:
        base: theta_0.
        theta: theta_1. The last axis of a leaf is its outputs, as in Flax kernels; where theta has
            PyTorch's layout, [out, in] may be transposed without harm, longer kernels may not.
        rank: how k is found: 'variance', the smallest with P >= `energy`, or 'effective_rank',
            exp of the entropy of s / sum(s), rounded up.
        energy: in 0..1, for 'variance'.

    Raises:
        UserError: trees of different forms, an unknown `rank`, or an energy out of range.

    Examples:
        >>> base, theta = {'kernel': np.zeros((2, 2))}, {'kernel': np.diag([3.0, 1.0])}
        >>> mono_soup(base, theta)['kernel'].round(2).diagonal().tolist()
        [1.82, 0.39]
    """
    same_form({'the base': base, 'theta': theta})
    if rank not in RANKS:
        raise UserError(f'rank is {rank!r}; expected one of {", ".join(RANKS)}')
    if not 0 <= energy <= 1:
        raise UserError(f'energy is {energy}; expected a fraction in 0..1')

    def leaf(a: jax.typing.ArrayLike, b: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
        change = wide(b) - wide(a)
        small = np.linalg.norm(change) <= SMALLEST_CHANGE * np.linalg.norm(wide(a))
        if change.ndim < 2 or small:
            return b
        edited = _edited(change.reshape(-1, change.shape[-1]), RANKS[rank], energy)
        return (wide(a) + edited.reshape(change.shape)).astype(b.dtype)

    return jax.tree.map(leaf, base, theta)


def _edited(change: np.ndarray, rank: 'Rank', energy: float) -> np.ndarray:
    """l_high D_high + l_low D_low of one matrix that is not 0."""
    left, s, right = np.linalg.svd(change, full_matrices=False)
    shares = np.cumsum(s**2) / (np.sum(s**2) + ENERGY_FLOOR)
    k = min(rank(s, shares, energy), len(s))
    r = (s[k] / s[0]) ** 2 if k < len(s) else 0.0
    low = r + (1 - r) * max(1 - shares[k - 1], 0) ** 0.5
    high_part = (left[:, :k] * s[:k]) @ right[:k]
    return (1 - low) * high_part + low * (change - high_part)


def _variance_rank(s: np.ndarray, shares: np.ndarray, energy: float) -> int:
    return int((shares < energy).sum()) + 1


def _effective_rank(s: np.ndarray, shares: np.ndarray, energy: float) -> int:
    p = s[s > 0] / s.sum()
    return int(np.ceil(np.exp(-(p * np.log(p)).sum())))


# How many singular values are the high part: of them, the shares [R] of the first 1, 2, …, and the
# share that is asked for.
Rank = Callable[[np.ndarray, np.ndarray, float], int]
RANKS: dict[str, Rank] = {'variance': _variance_rank, 'effective_rank': _effective_rank}
