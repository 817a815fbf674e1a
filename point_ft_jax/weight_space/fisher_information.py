"""Interpolation weighted by the diagonal of the Fisher information."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space.arithmetic import Alpha, _alphas, _between, _narrow, _wide, same_form

FISHER_FLOOR = 1e-8  # WiSE-FT's own: no weight counts for nothing


def fisher_interpolate(
    theta0: Tree,
    theta1: Tree,
    alpha: Alpha,
    fisher0: Tree | None = None,
    fisher1: Tree | None = None,
    *,
    floor: float = FISHER_FLOOR,
) -> Tree:
    """WiSE-FT weighted by Fisher information: (c0 theta0 + c1 theta1) / (c0 + c1), elementwise.

    c0 = (1 - alpha) max(F0, floor) and c1 = alpha max(F1, floor), after Matena and Raffel (NeurIPS
    2022, arXiv 2111.09832), in WiSE-FT's form. Without a Fisher (None) its entries are 1; equal
    Fishers give `interpolate`, up to rounding. Exact at both ends.

    Args:
        theta0: see `interpolate`.
        theta1: see `interpolate`.
        alpha: see `interpolate`.
        fisher0: the diagonal at `theta0`, a tree of its form; see `fisher`.
        fisher1: the diagonal at `theta1`, likewise.
        floor: the least that an entry counts.

    Examples:
        >>> import numpy as np
        >>> a, b = {'x': np.float32([0, 0])}, {'x': np.float32([8, 8])}
        >>> fisher_interpolate(a, b, 0.5, fisher1={'x': np.float32([1, 3])})['x'].tolist()
        [4.0, 6.0]
    """
    given = {'fisher0': fisher0, 'fisher1': fisher1}
    trees = {name: tree for name, tree in given.items() if tree is not None}
    same_form({'theta0': theta0, 'theta1': theta1, **trees})
    ones = jax.tree.map(jnp.ones_like, theta0)
    fisher0, fisher1 = (ones if f is None else f for f in (fisher0, fisher1))

    def share(alpha: jax.Array, f0: jax.Array, f1: jax.Array) -> jax.Array:
        """The share of theta1, which is what `interpolate` calls alpha."""
        c0 = (1 - alpha) * jnp.maximum(_wide(f0), floor)
        c1 = alpha * jnp.maximum(_wide(f1), floor)
        return c1 / (c0 + c1)

    shares = jax.tree.map(share, _alphas(theta0, alpha, False), fisher0, fisher1)
    return jax.tree.map(_between, theta0, theta1, shares)


def fisher(
    log_likelihood: Callable[[Tree, object], jax.Array], theta: Tree, samples: object
) -> Tree:
    """The diagonal of the empirical Fisher information: the mean squared gradient over samples.

    Args:
        log_likelihood: (theta, one sample) to a scalar, such as the log probability of its label.
        theta: where.
        samples: a tree of arrays [S, ...], one sample a row.

    Examples:
        >>> import numpy as np
        >>> data = np.float32([1, 2])
        >>> fisher(lambda theta, x: theta['x'].sum() * x, {'x': np.zeros(1)}, data)['x'].tolist()
        [2.5]
    """
    gradient = jax.grad(log_likelihood)
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), theta)

    def body(total: Tree, sample: object) -> tuple[Tree, None]:
        squares = jax.tree.map(lambda g: jnp.square(_wide(g)), gradient(theta, sample))
        return jax.tree.map(jnp.add, total, squares), None

    count = len(jax.tree.leaves(samples)[0])
    total, _ = jax.lax.scan(body, zero, samples)
    return jax.tree.map(lambda leaf, t: _narrow(t / count, leaf), theta, total)
