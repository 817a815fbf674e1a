"""k nearest neighbours: the definition, the XLA formulations and the public call."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from kernels import knn_tpu
from kernels.dispatch import AUTO, Implementation, check_cloud, dispatch

BUDGET_BYTES = 128 * 2**20  # the largest [B, G, N] array of distances that is made at once


def knn(
    queries: jax.Array, points: jax.Array, k: int, *, backend: str = AUTO
) -> tuple[jax.Array, jax.Array]:
    """The `k` points nearest to each query, by direct differences in float32.

    Args:
        queries: [B, G, 3] floating.
        points: [B, N, 3] floating.
        k: K, 1 to N.
        backend: 'auto', 'reference', 'xla', 'cpu' (XLA, over the nearest blocks of points), or
            'tpu' (the kernel in `knn_tpu`).

    Returns:
        Squared distances [B, G, K] float32 and indices [B, G, K] int32 in 0..N-1, by ascending
        distance, ties by the lowest index. A query that is one of the points is its own first
        neighbour. Points with a NaN or an infinity come last, at an infinite distance. Neither
        result carries a gradient.

    Raises:
        ValueError: at trace time: wrong rank or dtype, batches that differ, k not in 1..N, or a
            backend that is unknown or can't take clouds of this size.
    """
    check_cloud('knn', 'queries', queries)
    check_cloud('knn', 'points', points)
    if queries.shape[0] != points.shape[0]:
        raise ValueError(f'knn: {queries.shape[0]} clouds of queries, {points.shape[0]} of points')
    if not 1 <= k <= points.shape[1]:
        raise ValueError(f'knn: k is {k}; expected 1 to the {points.shape[1]} points of a cloud')
    queries, points = (jax.lax.stop_gradient(a).astype(jnp.float32) for a in (queries, points))
    implementations = {
        'reference': Implementation(functools.partial(_reference, k=k)),
        'xla': Implementation(functools.partial(_blocked, k=k, take=_top_k)),
        'cpu': Implementation(functools.partial(_blocked, k=k, take=_top_k_of_blocks), 'cpu'),
        'tpu': Implementation(
            functools.partial(knn_tpu.nearest, k=k), 'tpu', knn_tpu.refusal(points.shape[1], k)
        ),
    }
    return dispatch('knn', implementations, backend, queries, points)


def _distances(queries: jax.Array, points: jax.Array) -> jax.Array:
    """[B, G, N] squared distances, infinite where they are no number."""
    total = 0.0
    for axis in range(3):  # three planes instead of a [B, G, N, 3] array
        total += (queries[:, :, None, axis] - points[:, None, :, axis]) ** 2
    return jnp.where(jnp.isfinite(total), total, jnp.inf)


def _reference(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    """The definition: a stable sort of all distances."""
    distances = _distances(queries, points)
    order = jnp.argsort(distances, axis=-1, stable=True)[..., :k].astype(jnp.int32)
    return jnp.take_along_axis(distances, order, axis=-1), order


def _blocked(
    queries: jax.Array, points: jax.Array, *, k: int, take: Callable
) -> tuple[jax.Array, jax.Array]:
    """`take`, over as many clouds, or queries of one cloud, as the budget holds."""
    batch, groups, _ = queries.shape
    cloud_bytes = 4 * groups * points.shape[1]
    if cloud_bytes * batch <= BUDGET_BYTES:
        return take(queries, points, k)

    def one(cloud: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        ask, among = cloud
        rows = max(1, min(groups, BUDGET_BYTES // (4 * points.shape[1])))
        near = jax.lax.map(
            lambda q: tuple(a[0, 0] for a in take(q[None, None], among[None], k)),
            ask,
            batch_size=rows,
        )
        return near

    return jax.lax.map(one, (queries, points))


def _top_k(queries: jax.Array, points: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    negative, indices = jax.lax.top_k(-_distances(queries, points), k)
    return -negative, indices.astype(jnp.int32)


def _top_k_of_blocks(queries: jax.Array, points: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The same of fewer: the K neighbours are in the K blocks whose nearest points are nearest.

    A block is a run of indices. Blocks are taken in the order of their indices, so that ties fall
    to the lowest index in both selections.
    """
    batch, size, _ = points.shape
    width = 2 ** round(math.log2(math.sqrt(size / k)))  # about what makes both equally long
    count = -(-size // width)
    if width == 1 or count < k:
        return _top_k(queries, points, k)
    # No numbers, at an infinite distance, after all others.
    points = jnp.pad(points, ((0, 0), (0, count * width - size), (0, 0)), constant_values=jnp.nan)
    # [B, width, count]: a minimum over an axis that is not the last is fast.
    points = points.reshape(batch, count, width, 3).swapaxes(1, 2).reshape(batch, -1, 3)
    distances = _distances(queries, points).reshape(*queries.shape[:2], width, count)
    blocks = jnp.sort(jax.lax.top_k(-distances.min(axis=2), k)[1], axis=-1)
    candidates = _take(distances, blocks[:, :, None]).swapaxes(2, 3)
    negative, at = jax.lax.top_k(-candidates.reshape(*queries.shape[:2], k * width), k)
    return -negative, (_take(blocks, at // width) * width + at % width).astype(jnp.int32)


def _take(array: jax.Array, indices: jax.Array) -> jax.Array:
    return jnp.take_along_axis(array, indices, axis=-1, mode='promise_in_bounds')
