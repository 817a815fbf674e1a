"""Gathering by index, and grouping a cloud into neighbourhoods around sampled centres."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels.dispatch import AUTO
from kernels.fps import farthest_point_sample
from kernels.knn import knn


class Groups(NamedTuple):
    """Neighbourhoods of a cloud.

    Attributes:
        groups: [B, G, K, 3], neighbours minus their centre, nearest first.
        centers: [B, G, 3].
        indices: [B, G, K] int32, the neighbours in the cloud.
        center_indices: [B, G] int32, the centres in the cloud.
    """

    groups: jax.Array
    centers: jax.Array
    indices: jax.Array
    center_indices: jax.Array


def gather_points(values: jax.Array, indices: jax.Array) -> jax.Array:
    """`values` [B, N, C] at `indices` [B, ...] int32 in 0..N-1: [B, ..., C], differentiable."""
    flat = indices.reshape(indices.shape[0], -1)
    taken = jnp.take_along_axis(values, flat[..., None], axis=1, mode='promise_in_bounds')
    return taken.reshape(*indices.shape, values.shape[-1])


def group_points(
    points: jax.Array,
    num_groups: int,
    group_size: int,
    *,
    skip_near_origin: bool = True,
    backend: str = AUTO,
) -> Groups:
    """Splits clouds into `num_groups` overlapping neighbourhoods of `group_size` points.

    Centres are farthest points from index 0 on, each with its nearest points; translated to the
    centre, not scaled. Indices come from float32 coordinates, the coordinates keep the type (and
    the gradient) of `points`.

    Args:
        points: [B, N, 3] floating.
        num_groups: G, 1 to N.
        group_size: K, 1 to N.
        skip_near_origin: see `farthest_point_sample`.
        backend: see `farthest_point_sample` and `knn`; must be a name that both know.

    Raises:
        ValueError: wrong rank or dtype, fewer points than groups or neighbours.
    """
    center_indices = farthest_point_sample(
        points, num_groups, skip_near_origin=skip_near_origin, backend=backend
    )
    centers = gather_points(points, center_indices)
    _, indices = knn(centers, points, group_size, backend=backend)
    groups = gather_points(points, indices) - centers[:, :, None]
    return Groups(groups, centers, indices, center_indices)
