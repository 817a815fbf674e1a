"""The order of a cloud's patches, for models that read them one after the other."""

import jax
import jax.numpy as jnp

from kernels import Groups, gather_points
from point_ft_jax.core.trees import Array


def greedy_order(centers: Array) -> Array:
    """[B, G] int32, a chain through `centers` [B, G, 3]: from the first, always on to the nearest.

    Of those not yet taken; of several as near, to the one that comes first. PointGPT's code calls
    it a simplified Morton order. Distances are float32 whatever the type of the centres; no
    gradient.
    """
    centers = jax.lax.stop_gradient(centers).astype(jnp.float32)
    batch, size, _ = centers.shape
    squares = jnp.square(centers[:, :, None] - centers[:, None]).sum(-1)
    distances = jnp.sqrt(squares)  # two squares may differ where their roots do not: a tie
    rows = jnp.arange(batch)

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        last, free = state
        free = free.at[rows, last].set(False)
        nearest = jnp.argmin(jnp.where(free, distances[rows, last], jnp.inf), axis=-1)
        return (nearest.astype(jnp.int32), free), last

    start = (jnp.zeros(batch, jnp.int32), jnp.ones((batch, size), bool))
    return jax.lax.scan(step, start, length=size)[1].T


def reorder(grouped: Groups, order: Array) -> Groups:
    """Neighbourhoods in another order, [B, G] int32."""
    batch, number, size, channels = grouped.groups.shape
    flat = gather_points(grouped.groups.reshape(batch, number, -1), order)
    return Groups(
        groups=flat.reshape(batch, number, size, channels),
        centers=gather_points(grouped.centers, order),
        indices=gather_points(grouped.indices, order),
        center_indices=jnp.take_along_axis(grouped.center_indices, order, axis=1),
    )
