"""k nearest neighbours: the definition, the XLA formulations and the public call."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from kernels import knn_tpu
from kernels.dispatch import AUTO, Implementation, check_cloud, dispatch

BUDGET_BYTES = 128 * 2**20  # the largest [B, G, N] array of distances that is made at once
CPU_BUDGET_BYTES = 8 * 2**20  # the same where it should stay in a cache
FEW = 128  # points; among fewer either is quick, and `top_k` is compiled in a quarter of the time
LARGEST = jnp.finfo(jnp.float32).max

Nearest = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def knn(
    queries: jax.Array, points: jax.Array, k: int, *, backend: str = AUTO
) -> tuple[jax.Array, jax.Array]:
    """The `k` points nearest to each query, by direct differences in float32.

    Args:
        queries: [B, G, 3] floating.
        points: [B, N, 3] floating.
        k: K, 1 to N.
        backend: 'auto', 'reference', 'xla', 'cpu' (a tournament) or 'tpu' (the kernel in
            `knn_tpu`).

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
        'xla': Implementation(_blocked(functools.partial(_top_k, k=k), BUDGET_BYTES)),
        'cpu': Implementation(
            _blocked(functools.partial(_tournament, k=k), CPU_BUDGET_BYTES), 'cpu'
        ),
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


def _blocked(nearest: Nearest, budget: int) -> Nearest:
    """`nearest`, over as many clouds, or queries of one cloud, as the budget holds."""

    def blocked(queries: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch, groups, _ = queries.shape
        query_bytes = 4 * points.shape[1]
        if query_bytes * groups * batch <= budget:
            return nearest(queries, points)

        def one(cloud: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            ask, among = cloud
            if query_bytes * groups <= budget:
                return tuple(a[0] for a in nearest(ask[None], among[None]))
            return jax.lax.map(
                lambda q: tuple(a[0, 0] for a in nearest(q[None, None], among[None])),
                ask,
                batch_size=max(1, budget // query_bytes),
            )

        clouds = max(1, budget // (query_bytes * groups))
        return jax.lax.map(one, (queries, points), batch_size=clouds)

    return blocked


def _top_k(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    negative, indices = jax.lax.top_k(-squared_distances(queries, points), k)
    return -negative, indices.astype(jnp.int32)


def _tournament(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    """Takes the nearest point k times, each time among the nearest of every cell.

    A cell is a run of points as they are stored; after a point is taken, only its cell is looked
    through for the next nearest. All queries go in step, in elementwise operations and reductions
    that XLA:CPU vectorises and spreads over threads, where its `top_k` sorts one query after the
    other on one thread.
    """
    batch, groups, _ = queries.shape
    size = points.shape[1]
    if size < FEW:
        return _top_k(queries, points, k=k)
    cell = 16 if size <= 2048 else 32
    # A point infinitely far has the largest distance, so that infinity can mean an empty cell.
    distances = jnp.minimum(squared_distances(queries, points), LARGEST)
    distances = distances.reshape(batch * groups, size)
    distances = jnp.pad(distances, ((0, 0), (0, -size % cell)), constant_values=jnp.inf)
    distances = distances.reshape(batch * groups, -1, cell)
    cells = jnp.arange(distances.shape[1], dtype=jnp.int32)[None]
    places = jnp.arange(cell, dtype=jnp.int32)[None]

    def first(values: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The least value of each row, and its lowest index."""
        least = values.min(-1, keepdims=True)
        index = jnp.where(values == least, index, values.shape[-1] - 1)
        return least, index.min(-1, keepdims=True)

    def take(round: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        nearest, place, found, chosen = carry  # of each cell: what is left, and where
        least, winner = first(nearest, cells)
        at = jnp.take_along_axis(place, winner, axis=-1)
        found = jax.lax.dynamic_update_slice_in_dim(found, least, round, axis=1)
        chosen = jax.lax.dynamic_update_slice_in_dim(chosen, winner * cell + at, round, axis=1)
        rest = jnp.take_along_axis(distances, winner[..., None], axis=1)[:, 0]
        # What was taken from a cell came before this point, by distance and then by index.
        rest = jnp.where((rest > least) | (rest == least) & (places > at), rest, jnp.inf)
        value, index = first(rest, places)
        here = cells == winner
        return jnp.where(here, value, nearest), jnp.where(here, index, place), found, chosen

    nearest, place = (a[..., 0] for a in first(distances, places[None]))
    found = jnp.zeros((batch * groups, k), jnp.float32)
    start = (nearest, place, found, found.astype(jnp.int32))
    *_, found, chosen = jax.lax.fori_loop(0, k, take, start)
    found = jnp.where(found < LARGEST, found, jnp.inf)
    return found.reshape(batch, groups, k), chosen.reshape(batch, groups, k)
