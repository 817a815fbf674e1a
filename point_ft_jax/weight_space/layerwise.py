"""One number a layer: LiNeS, and interpolation whose alphas held-out clouds choose."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space.arithmetic import _between, block_of, same_form
from point_ft_jax.weight_space.soups import Score, checked

_LAYER = re.compile(r'(?:^|/)(?:level_(\d+)[/.])?block_(\d+)(?=[/.]|$)')


def lines(
    base: Tree,
    theta: Tree,
    *,
    alpha: float = 0.3,
    beta: float | None = None,
    layers: Mapping[str, int | None] | None = None,
) -> Tree:
    """LiNeS: theta_0 + (alpha + beta l / (L - 1)) (theta_1 - theta_0) in layer l of L.

    Outside the layers the factor is alpha. Early layers, which are general, go back towards
    theta_0; the last keeps alpha + beta of its change. Wang et al., ICLR 2025, arXiv 2410.17146.
    Where the factor is 0 or 1 the result has the bits of `base` or of `theta`. To edit a sum of
    several changes, make it first, by `deltas.task_arithmetic`.

    The authors' code finds layer l by '.l.' in a PyTorch key, so that `pos_embed.2.weight` counts
    as one of layer 2; here a layer is a block, and `layers` allows another reading.

    Args:
        base: theta_0.
        theta: theta_1.
        alpha: the factor of the first layer.
        beta: how much it grows to the last; without it 1 - alpha, as the paper edits one model.
        layers: every path's layer, counted from 0, None for outside; without it `layers_of(base)`.

    Raises:
        UserError: trees of different forms, paths without a layer entry, or numbers that are not
            finite.

    Examples:
        >>> base = {name: {'x': np.zeros(1, np.float32)} for name in ('block_0', 'block_1', 'norm')}
        >>> theta = {name: {'x': np.ones(1, np.float32)} for name in base}
        >>> edited = lines(base, theta, alpha=0.25)
        >>> {name: edited[name]['x'].tolist() for name in edited}
        {'block_0': [0.25], 'block_1': [1.0], 'norm': [0.25]}
    """
    same_form({'the base': base, 'theta': theta})
    beta = 1 - alpha if beta is None else beta
    if not np.isfinite([alpha, beta]).all():
        raise UserError(f'alpha is {alpha} and beta {beta}; expected finite numbers')
    layers = layers_of(base) if layers is None else layers
    if lacking := [path for path in trees.flatten(base) if path not in layers]:
        raise UserError(f'layers has no entry for {lacking[0]}: give every path, None for outside')
    last = max((layer for layer in layers.values() if layer is not None), default=0)

    def factor(path: str) -> float:
        return alpha if layers[path] is None else alpha + beta * layers[path] / max(last, 1)

    return _interpolated(base, theta, {path: factor(path) for path in layers})


def layers_of(tree: Tree) -> dict[str, int | None]:
    """{path: the layer, counted from 0 through all levels}; None for what is in no block.

    A tuner's part is of the layer whose block it tunes.

    Examples:
        >>> layers_of({'block_1': {'x': 0}, 'block_0.qkv': {'x': 0}, 'norm': {'x': 0}})
        {'block_0.qkv/x': 0, 'block_1/x': 1, 'norm/x': None}
        >>> layers_of({f'level_{i}': {'block_0': 0, 'norm': 0} for i in range(2)})
        {'level_0/block_0': 0, 'level_0/norm': None, 'level_1/block_0': 1, 'level_1/norm': None}
    """
    found = {path: _LAYER.search(path) for path in trees.flatten(tree)}
    places = {path: (int(m[1] or 0), int(m[2])) for path, m in found.items() if m}
    numbers = {place: i for i, place in enumerate(sorted(set(places.values())))}
    return {path: numbers[places[path]] if m else None for path, m in found.items()}


@dataclasses.dataclass(frozen=True)
class Layerwise:
    """An interpolation with an alpha a block.

    Attributes:
        theta: the weights.
        alphas: {block: alpha}; see `arithmetic.block_of`.
        score: of the weights.
    """

    theta: Tree
    alphas: dict[str, float]
    score: float


def choose_alphas(
    theta0: Tree,
    theta1: Tree,
    score: Score,
    *,
    grid: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    rounds: int = 1,
) -> Layerwise:
    """The interpolation whose alpha of every block is chosen by a score, one block after another.

    Coordinate ascent: it begins with the best single alpha of the grid, then gives each block in
    turn, from the last to the first, the alpha that scores best with the others held. A block
    changes only where the score rises, so that the result is never worse than the best single
    alpha; of equal single alphas the smallest begins. Calls `score` at most
    G + rounds * blocks * (G - 1) times for a grid of G.

    Args:
        theta0: the end at 0.
        theta1: the end at 1.
        score: weights to a number, the higher the better, as the accuracy on held-out clouds.
        grid: the alphas to choose from, in 0..1.
        rounds: over all blocks; it ends early when one changes nothing.

    Raises:
        UserError: trees of different forms, an empty grid, an alpha out of range, or a score that
            is not a number.

    Examples:
        >>> zeros = {'block_0': {'x': np.zeros(1)}, 'block_1': {'x': np.zeros(1)}}
        >>> ones = {'block_0': {'x': np.ones(1)}, 'block_1': {'x': np.ones(1)}}
        >>> def score(theta):
        ...     return -abs(theta['block_0']['x'][0] - 0.25) - abs(theta['block_1']['x'][0] - 1)
        >>> choose_alphas(zeros, ones, score).alphas
        {'block_0': 0.25, 'block_1': 1.0}
    """
    same_form({'theta0': theta0, 'theta1': theta1})
    grid = sorted({float(a) for a in grid})
    if not grid or not all(0 <= a <= 1 for a in grid):
        raise UserError(f'grid is {grid}; expected one or more alphas in 0..1')
    blocks = {path: block_of(path) for path in trees.flatten(theta0)}

    def made(alphas: Mapping[str, float]) -> Layerwise:
        of_paths = {path: alphas[block] for path, block in blocks.items()}
        theta = _interpolated(theta0, theta1, of_paths)
        return Layerwise(theta, dict(alphas), checked(score(theta)))

    best = max((made(dict.fromkeys(blocks.values(), a)) for a in grid), key=lambda one: one.score)
    for _ in range(rounds):
        before = best
        for block in reversed(best.alphas):
            others = [a for a in grid if a != best.alphas[block]]
            tried = [made({**best.alphas, block: a}) for a in others]
            best = max((best, *tried), key=lambda one: one.score)
        if best is before:
            break
    return best


def _interpolated(theta0: Tree, theta1: Tree, factors: Mapping[str, float]) -> Tree:
    """The interpolation with a number for every path; exact at 0 and at 1."""
    numbers = trees.map_paths(lambda path, _: jnp.asarray(factors[path], float), theta0)
    return jax.tree.map(_between, theta0, theta1, numbers)
