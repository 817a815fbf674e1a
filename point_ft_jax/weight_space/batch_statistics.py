"""Running statistics of batch norms between two models: four choices, each with its price.

Interpolating weights moves what a batch norm sees, and its statistics have to go somewhere. Mixed
variances are not the variances of mixed activations; re-estimation by a pass over training clouds
is (Izmailov et al., SWA, UAI 2018, arXiv 1803.05407).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.weight_space import arithmetic

CHOICES = ('reestimated', 'interpolated', 'finetuned', 'pretrained')
MOMENTUM = 0.1  # of `layers.BatchNorm`: how far one batch moves running statistics


def statistics_along(
    choice: str,
    theta0: trees.Tree,
    theta1: trees.Tree,
    alphas: tuple[float, ...],
    reestimate: Callable[[], trees.Tree],
) -> trees.Tree:
    """The statistics at every alpha, leaves [A, ...].

    Args:
        choice: 'pretrained' or 'finetuned': those of one end, wherever; 'interpolated': as the
            weights; 'reestimated': on training clouds, but at 0 and 1 those of the two models,
            which have seen theirs.
        theta0, theta1: the statistics of the ends.
        alphas: A numbers.
        reestimate: gives the re-estimated ones; called only if they are chosen.

    Raises:
        UserError: an unknown choice.
    """
    check_choice(choice)
    if choice in ('pretrained', 'finetuned'):
        end = theta0 if choice == 'pretrained' else theta1
        return arithmetic.along(end, end, alphas)
    ends = arithmetic.along(theta0, theta1, alphas)
    if choice == 'interpolated' or not jax.tree.leaves(ends):
        return ends
    inner = np.array([0 < alpha < 1 for alpha in alphas])

    def pick(new: jax.Array, end: jax.Array) -> jax.Array:
        return jnp.where(inner.reshape(-1, *(1,) * (end.ndim - 1)), new, end)

    return jax.tree.map(pick, reestimate(), ends)


def check_choice(choice: str) -> None:
    """UserError unless `choice` is one of CHOICES."""
    if choice not in CHOICES:
        raise UserError(f'statistics is {choice!r}; expected one of {", ".join(CHOICES)}')


def make_reestimate(
    module: nn.Module, mesh: Mesh, batch_size: int
) -> Callable[[Variables, np.ndarray], trees.Tree]:
    """A function of stacked variables and points [S, n, 3] to their statistics on these clouds.

    The mean over batches of the batches' means and unbiased variances, without drop path; of the
    statistics that features depend on, so that a head's stay as they are. The last clouds, which
    do not fill a batch, sit it out.
    """
    training = module.clone(backbone=module.backbone.clone(drop_path=0.0, hold_statistics=False))

    def add(total: trees.Tree, variables: Variables, points: Array) -> trees.Tree:
        def one(total: trees.Tree, variables: Variables) -> trees.Tree:
            zeros = jax.tree.map(jnp.zeros_like, variables['batch_stats'])
            _, updates = training.apply(
                {**variables, 'batch_stats': zeros},
                points,
                train=True,
                method='features',
                mutable=['batch_stats'],
                rngs={'dropout': jax.random.key(0)},
            )
            return jax.tree.map(lambda t, new: t + new / MOMENTUM, total, updates['batch_stats'])

        return jax.vmap(one)(total, variables)

    add = jax.jit(add, compiler_options=compiler_options())

    def reestimate(variables: Variables, points: np.ndarray) -> trees.Tree:
        statistics = variables['batch_stats']
        size = min(batch_size, len(points))
        starts = range(0, len(points) - size + 1, size)
        total = jax.tree.map(jnp.zeros_like, statistics)
        with jax.set_mesh(mesh):
            for start in starts:
                total = add(total, variables, points[start : start + size])
        means = jax.tree.map(lambda t: t / len(starts), total)
        return {**means, **{part: statistics[part] for part in statistics if part == 'head'}}

    return reestimate
