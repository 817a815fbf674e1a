"""k nearest neighbours: the definition, the XLA formulations and the public call."""

import functools

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
        backend: 'auto', 'reference', 'xla' or 'tpu' (the kernel in `knn_tpu`).

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
        'xla': Implementation(functools.partial(_blocked, k=k)),
        'tpu': Implementation(
            functools.partial(knn_tpu.nearest, k=k), 'tpu', knn_tpu.refusal(points.shape[1], k)
        ),
    }
    return dispatch('knn', implementations, backend, queries, points)


def squared_distances(queries: jax.Array, points: jax.Array) -> jax.Array:
    """[B, G, N] squared distances, infinite where they are no number."""
    total = 0.0
    for axis in range(3):  # three planes instead of a [B, G, N, 3] array
        total += (queries[:, :, None, axis] - points[:, None, :, axis]) ** 2
    return jnp.where(jnp.isfinite(total), total, jnp.inf)


def _reference(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    """The definition: a stable sort of all distances."""
    distances = squared_distances(queries, points)
    order = jnp.argsort(distances, axis=-1, stable=True)[..., :k].astype(jnp.int32)
    return jnp.take_along_axis(distances, order, axis=-1), order


def _blocked(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    """`top_k`, over as many clouds, or queries of one cloud, as the budget holds."""
    batch, groups, _ = queries.shape
    cloud_bytes = 4 * groups * points.shape[1]
    if cloud_bytes * batch <= BUDGET_BYTES:
        return _top_k(queries, points, k)

    def one(cloud: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        ask, among = cloud
        rows = max(1, min(groups, BUDGET_BYTES // (4 * points.shape[1])))
        near = jax.lax.map(
            lambda q: tuple(a[0, 0] for a in _top_k(q[None, None], among[None], k)),
            ask,
            batch_size=rows,
        )
        return near

    return jax.lax.map(one, (queries, points))


def _top_k(queries: jax.Array, points: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    negative, indices = jax.lax.top_k(-squared_distances(queries, points), k)
    return -negative, indices.astype(jnp.int32)
