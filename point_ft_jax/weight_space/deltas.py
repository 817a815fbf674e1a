"""Merging by task vectors: sums of what fine-tuning changed, thinned and freed of conflicts.

Every function takes theta_0, from which all were fine-tuned, and theta_1 … theta_N. With
v_t = theta_t - theta_0, leaf by leaf, each returns theta_0 plus a combination of the v_t, in the
leaves' own types:

| | combination | paper |
|---|---|---|
| `task_arithmetic` | sum of w_t v_t | Ilharco et al., arXiv 2212.04089 |
| `magnitude_prune` | the same of v_t without its smallest entries (`trim`) | |
| `ties` | `trim`, then `elect` | Yadav et al., arXiv 2306.01708 |
| `dare`, `dare_ties` | random entries dropped, the others scaled up | Yu et al., arXiv 2311.03099 |

A leaf counts as one vector in all of them. They work on the host, with numpy in float64, and do
not change their arguments.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space.arithmetic import same_form

Weights = Sequence[float] | None


def task_arithmetic(base: Tree, thetas: Sequence[Tree], weights: Weights = None) -> Tree:
    """theta_0 + sum of w_t v_t.

    Args:
        base: theta_0.
        thetas: theta_t, one or more.
        weights: w_t, one each; without them 1. They are not normalised, so that the default moves
            by the sum of all changes.

    Raises:
        UserError: no tree, trees of different forms, or weights that do not fit.

    Examples:
        >>> base = {'x': np.float32([0, 1])}
        >>> two = [{'x': np.float32([1, 1])}, {'x': np.float32([0, 3])}]
        >>> task_arithmetic(base, two, weights=(1, 0.5))['x'].tolist()
        [1.0, 2.0]
    """
    weights = _weights(thetas, weights)
    return moved(base, _weighted_sum(vectors(base, thetas), weights))


def magnitude_prune(
    base: Tree, thetas: Sequence[Tree], weights: Weights = None, *, density: float = 0.2
) -> Tree:
    """theta_0 + sum of w_t trim(v_t): of every change only its largest entries.

    Args:
        base, thetas, weights: see `task_arithmetic`.
        density: the fraction of a leaf's entries that is kept, in 0..1; see `trim`.

    Raises:
        UserError: see `task_arithmetic`; or a density out of range.

    Examples:
        >>> base, theta = {'x': np.zeros(4, np.float32)}, {'x': np.float32([1, -4, 2, 3])}
        >>> magnitude_prune(base, [theta], density=0.5)['x'].tolist()
        [0.0, -4.0, 0.0, 3.0]
    """
    weights = _weights(thetas, weights)
    trimmed = [trim(vector, density) for vector in vectors(base, thetas)]
    return moved(base, _weighted_sum(trimmed, weights))


def ties(
    base: Tree,
    thetas: Sequence[Tree],
    weights: Weights = None,
    *,
    density: float = 0.2,
    sign: str = 'total',
) -> Tree:
    """TIES: theta_0 + elect(w, trim(v)); entries that disagree in sign do not cancel each other.

    Args:
        base, thetas, weights: see `task_arithmetic`.
        density: of `trim`; the paper's is 0.2.
        sign: how `elect` finds the sign; the paper's is 'total'.

    Raises:
        UserError: see `task_arithmetic`; a density out of range, or an unknown `sign`.

    Examples:
        >>> base = {'x': np.zeros(3, np.float32)}
        >>> two = [{'x': np.float32([2, 3, 1])}, {'x': np.float32([4, -1, 0])}]
        >>> ties(base, two, density=1)['x'].tolist()
        [3.0, 3.0, 1.0]
    """
    weights = _weights(thetas, weights)
    trimmed = [trim(vector, density) for vector in vectors(base, thetas)]
    return moved(base, elect(trimmed, weights, sign))


def dare(
    base: Tree,
    thetas: Sequence[Tree],
    weights: Weights = None,
    *,
    density: float = 0.5,
    seed: int = 0,
    masks: Sequence[Tree] | None = None,
) -> Tree:
    """DARE: theta_0 + sum of w_t m_t v_t / density, where m_t is 1 with probability `density`.

    The division keeps the expectation of every entry.

    Args:
        base, thetas, weights: see `task_arithmetic`.
        density: the probability that an entry is kept, above 0 and at most 1.
        seed: of the masks.
        masks: trees of bools in the place of random ones: which entries of each v_t are kept.

    Raises:
        UserError: see `task_arithmetic`; a density out of range, or masks that do not fit.

    Examples:
        >>> base, theta = {'x': np.zeros(3, np.float32)}, {'x': np.float32([1, 2, 3])}
        >>> mask = {'x': np.array([True, False, True])}
        >>> dare(base, [theta], density=0.5, masks=[mask])['x'].tolist()
        [2.0, 0.0, 6.0]
    """
    weights = _weights(thetas, weights)
    return moved(base, _weighted_sum(_dropped(base, thetas, density, seed, masks), weights))


def dare_ties(
    base: Tree,
    thetas: Sequence[Tree],
    weights: Weights = None,
    *,
    density: float = 0.5,
    sign: str = 'total',
    seed: int = 0,
    masks: Sequence[Tree] | None = None,
) -> Tree:
    """DARE's random dropping before the election of TIES: theta_0 + elect(w, m v / density).

    Args:
        base, thetas, weights, density, seed, masks: see `dare`.
        sign: see `ties`.

    Raises:
        UserError: see `dare`; or an unknown `sign`.

    Examples:
        >>> base = {'x': np.zeros(2, np.float32)}
        >>> two = [{'x': np.float32([2, 3])}, {'x': np.float32([4, -1])}]
        >>> dare_ties(base, two, density=1)['x'].tolist()
        [3.0, 3.0]
    """
    weights = _weights(thetas, weights)
    return moved(base, elect(_dropped(base, thetas, density, seed, masks), weights, sign))


def vectors(base: Tree, thetas: Sequence[Tree]) -> list[Tree]:
    """The v_t = theta_t - theta_0, in float64.

    Raises:
        UserError: trees of different forms.
    """
    same_form({'the base': base, **{f'tree {i}': theta for i, theta in enumerate(thetas)}})
    return [jax.tree.map(lambda a, b: wide(b) - wide(a), base, theta) for theta in thetas]


def wide(leaf: jax.typing.ArrayLike) -> np.ndarray:
    """The leaf in float64, on the host."""
    return np.asarray(leaf).astype(np.float64)


def trim(vector: Tree, density: float) -> Tree:
    """The tree with the int(density n) entries of largest magnitude of each leaf, the others 0.

    Raises:
        UserError: a density outside 0..1.

    Examples:
        >>> trim({'x': np.float32([1, -4, 2, 3])}, 0.5)['x'].tolist()
        [0.0, -4.0, 0.0, 3.0]
    """
    if not 0 <= density <= 1:
        raise UserError(f'density is {density}; expected a fraction in 0..1')

    def leaf(v: np.ndarray) -> np.ndarray:
        smallest = np.argsort(-np.abs(v), axis=None, kind='stable')[int(density * v.size) :]
        trimmed = v.copy()
        trimmed.flat[smallest] = 0
        return trimmed

    return jax.tree.map(leaf, vector)


def elect(changes: Sequence[Tree], weights: Sequence[float], sign: str = 'total') -> Tree:
    """Sum of w_t v_t over those v_t that have the elected sign, divided by how many they are.

    Entry by entry. The sign is found without the weights, and that of a tie is +; where no v_t has
    it, the result is 0.

    Args:
        changes: the v_t.
        weights: the w_t.
        sign: 'total', the sign of the sum of v_t, or 'frequency', the sign that most of them have.

    Raises:
        UserError: an unknown `sign`.

    Examples:
        >>> three = [{'x': np.float32([v])} for v in (-5, 1, 3)]
        >>> elect(three, (1, 1, 1), 'total')['x'].tolist()
        [-5.0]
        >>> elect(three, (1, 1, 1), 'frequency')['x'].tolist()
        [2.0]
    """
    if sign not in SIGNS:
        raise UserError(f'sign is {sign!r}; expected one of {", ".join(SIGNS)}')
    votes = SIGNS[sign]

    def leaf(*entries: np.ndarray) -> np.ndarray:
        stacked = np.stack(entries)  # [N, ...]
        elected = np.where(votes(stacked).sum(0) >= 0, 1, -1)
        agree = np.sign(stacked) == elected
        return np.tensordot(weights, stacked * agree, 1) / np.maximum(agree.sum(0), 1)

    return jax.tree.map(leaf, *changes)


# What is summed over the v_t to elect a sign.
SIGNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {'total': lambda v: v, 'frequency': np.sign}


def _dropped(
    base: Tree, thetas: Sequence[Tree], density: float, seed: int, masks: Sequence[Tree] | None
) -> list[Tree]:
    """The m_t v_t / density."""
    if not 0 < density <= 1:
        raise UserError(f'density is {density}; expected a probability above 0 and at most 1')
    if seed < 0:
        raise UserError(f'seed is {seed}; expected a whole number from 0 on')
    changes = vectors(base, thetas)
    if masks is None:
        masks = _random_masks(changes, density, seed)
    if len(masks) != len(thetas):
        raise UserError(f'{len(masks)} masks for {len(thetas)} trees; expected one each')
    bools = jax.tree.map(lambda v: np.zeros(v.shape, bool), changes[0])
    same_form({'bools like the base': bools, **{f'mask {i}': m for i, m in enumerate(masks)}})
    return [
        jax.tree.map(lambda v, m: np.where(m, v / density, 0), change, mask)
        for change, mask in zip(changes, masks, strict=True)
    ]


def _random_masks(changes: Sequence[Tree], density: float, seed: int) -> list[Tree]:
    """A mask for every tree, drawn one after another, leaf by leaf."""
    r = np.random.default_rng(seed)
    return jax.tree.map(lambda v: r.random(v.shape) < density, list(changes))


def _weighted_sum(changes: Sequence[Tree], weights: Sequence[float]) -> Tree:
    return jax.tree.map(
        lambda *leaves: sum(w * v for w, v in zip(weights, leaves, strict=True)), *changes
    )


def moved(base: Tree, change: Tree) -> Tree:
    """theta_0 plus a change, in the leaves' own types; where the change is 0, theta_0's bits."""

    def leaf(a: jax.typing.ArrayLike, v: np.ndarray) -> np.ndarray:
        return np.where(v == 0, a, (wide(a) + v).astype(a.dtype))

    return jax.tree.map(leaf, base, change)


def _weights(thetas: Sequence[Tree], weights: Weights) -> list[float]:
    """A weight for every tree, checked."""
    found = [1.0] * len(thetas) if weights is None else [float(w) for w in weights]
    problems = [] if thetas else ['no tree is given; expected one or more']
    if len(found) != len(thetas):
        problems.append(f'{len(found)} weights for {len(thetas)} trees; expected one each')
    if not np.isfinite(found).all():
        problems.append(f'the weights are {found}; expected finite numbers')
    raise_all(problems, 'these trees cannot be merged:')
    return found
