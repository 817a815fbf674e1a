"""Nearest neighbours of two clouds in each other, and what the Chamfer distance is made of."""

import functools

import jax
import jax.numpy as jnp

from kernels.dispatch import AUTO, Implementation, check_cloud, dispatch
from kernels.grouping import gather_points
from kernels.knn import squared_distances

# The largest array of distances that is made at once: on a CPU what stays in its cache.
BUDGET_BYTES = 32 * 2**20
CPU_BUDGET_BYTES = 1 * 2**20


def chamfer_distance(
    first: jax.Array, second: jax.Array, *, backend: str = AUTO
) -> tuple[jax.Array, jax.Array]:
    """Squared distances to the nearest point of the other cloud, both ways.

    The two sides of the Chamfer distance; which mean (of squares or of roots) makes a loss of them
    is the caller's. No [B, N, M] array outlives a block of it, in the backward pass neither: the
    gradient goes through the nearest pairs alone.

    Args:
        first: [B, N, 3] floating.
        second: [B, M, 3] floating, of the same type.
        backend: 'auto', 'reference', 'xla' or 'cpu'.

    Returns:
        [B, N], of each point of `first` to `second`, and [B, M], the other way; float32, or the
        type of the clouds if that is wider. Each is differentiable in both clouds. Which points
        are nearest is decided in float32, ties by the lowest index; a point with a NaN or an
        infinity is the nearest only where there is no other.

    Raises:
        ValueError: wrong rank or type, or batches that differ.
    """
    check_cloud('chamfer_distance', 'first', first)
    check_cloud('chamfer_distance', 'second', second)
    if first.shape[0] != second.shape[0]:
        raise ValueError(
            f'chamfer_distance: {first.shape[0]} first clouds, {second.shape[0]} second'
        )
    implementations = {
        'reference': Implementation(_pairs),
        'xla': Implementation(functools.partial(_blocked, budget=BUDGET_BYTES)),
        'cpu': Implementation(functools.partial(_blocked, budget=CPU_BUDGET_BYTES), 'cpu'),
    }
    fixed = (jax.lax.stop_gradient(a).astype(jnp.float32) for a in (first, second))
    to_second, to_first = dispatch('chamfer_distance', implementations, backend, *fixed)
    dtype = jnp.promote_types(jnp.promote_types(first.dtype, second.dtype), jnp.float32)
    first, second = first.astype(dtype), second.astype(dtype)

    def squared(points: jax.Array, others: jax.Array, nearest: jax.Array) -> jax.Array:
        return jnp.square(points - gather_points(others, nearest)).sum(axis=-1)

    return squared(first, second, to_second), squared(second, first, to_first)


def _first_least(distances: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The minimum along an axis and its first index; XLA:CPU does not vectorise `argmin`."""
    least = distances.min(axis=axis)
    iota = jax.lax.broadcasted_iota(jnp.int32, distances.shape, axis)
    found = jnp.where(distances == jnp.expand_dims(least, axis), iota, distances.shape[axis])
    return least, found.min(axis=axis)


def _pairs(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The definition: the indices of the nearest points, [B, N] in `second`, [B, M] in `first`."""
    distances = squared_distances(first, second)
    return _first_least(distances, 2)[1], _first_least(distances, 1)[1]


def _blocked(first: jax.Array, second: jax.Array, *, budget: int) -> tuple[jax.Array, jax.Array]:
    """`_pairs`, over as many clouds, or points of one cloud, as the budget holds."""
    batch, size, _ = first.shape
    row_bytes = 4 * second.shape[1]
    if row_bytes * size * batch <= budget:
        return _pairs(first, second)
    if row_bytes * size <= budget:
        some = max(1, budget // (row_bytes * size))
        return _map_clouds(first, second, min(some, batch))
    rows = max(1, budget // row_bytes)
    return jax.lax.map(lambda cloud: _one_cloud(*cloud, rows), (first, second))


def _map_clouds(first: jax.Array, second: jax.Array, some: int) -> tuple[jax.Array, jax.Array]:
    """`_pairs` of `some` clouds at a time."""
    whole = len(first) - len(first) % some

    def split(clouds: jax.Array) -> jax.Array:
        return clouds[:whole].reshape(-1, some, *clouds.shape[1:])

    found = jax.lax.map(lambda block: _pairs(*block), (split(first), split(second)))
    found = tuple(indices.reshape(whole, -1) for indices in found)
    if whole == len(first):
        return found
    rest = _pairs(first[whole:], second[whole:])
    return tuple(jnp.concatenate(both) for both in zip(found, rest, strict=True))


def _one_cloud(first: jax.Array, second: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    """`_pairs` of one cloud [N, 3] and another [M, 3], `rows` of the first at a time."""
    size = first.shape[0]
    missing = -size % rows
    blocks = jnp.pad(first, ((0, missing), (0, 0)), constant_values=jnp.inf).reshape(-1, rows, 3)

    def step(carry: tuple[jax.Array, jax.Array], block: tuple[jax.Array, jax.Array]) -> tuple:
        least, nearest = carry
        points, start = block
        distances = squared_distances(points[None], second[None])[0]
        here, index = _first_least(distances, 0)
        nearer = here < least
        carry = jnp.where(nearer, here, least), jnp.where(nearer, start + index, nearest)
        return carry, _first_least(distances, 1)[1]

    begin = jnp.full(second.shape[:1], jnp.inf), jnp.zeros(second.shape[:1], jnp.int32)
    starts = jnp.arange(len(blocks), dtype=jnp.int32) * rows
    (_, to_first), to_second = jax.lax.scan(step, begin, (blocks, starts))
    return to_second.reshape(-1)[:size], to_first
