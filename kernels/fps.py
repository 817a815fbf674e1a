"""Farthest-point sampling: the definition, the XLA formulations and the public call.

The operation every point transformer starts with. It follows the semantics of the CUDA operation
that the published models were trained with: the walk starts at a given index, distances are squared
direct differences in float32, and points within sqrt(1e-3) of the origin are never updated and
never chosen (`skip_near_origin`), except as the start. Ties go to the lowest index.
"""

import functools

import jax
import jax.numpy as jnp

from kernels.dispatch import AUTO, check_cloud, dispatch

NEAR_ORIGIN = 1e-3  # squared distance to the origin up to which a point is invisible
CPU_CHUNK_BYTES = 256 * 1024  # four float32 rows a cloud (x, y, z, distance) that stay in L2


def farthest_point_sample(
    points: jax.Array,
    num_samples: int,
    *,
    start_index: int | jax.Array = 0,
    skip_near_origin: bool = True,
    backend: str = AUTO,
) -> jax.Array:
    """Indices of `num_samples` points, each the farthest from those before it.

    Args:
        points: [B, N, 3] floating; computed in float32, whatever the type.
        num_samples: G, 1 to N.
        start_index: the first index of every cloud, or one a cloud, [B] int32; clipped to 0..N-1.
        skip_near_origin: never choose points with x^2+y^2+z^2 <= 1e-3 (but for the start). The
            published models need it, MaskPoint's tokenizer excepted.
        backend: 'auto', 'reference', 'xla' or 'cpu'.

    Returns:
        [B, G] int32. When the selectable points are used up, the lowest selectable index follows
        again and again. Points with a NaN or an infinity are never chosen, but for the start; an
        index is always in 0..N-1. No gradient flows through indices.

    Raises:
        ValueError: wrong rank or dtype, or num_samples not in 1..N.
    """
    check_cloud('farthest_point_sample', 'points', points)
    batch, size, _ = points.shape
    if not 1 <= num_samples <= size:
        raise ValueError(
            f'farthest_point_sample: {num_samples} samples of clouds of {size} points; '
            f'expected 1 to {size}'
        )
    points = jax.lax.stop_gradient(points).astype(jnp.float32)
    # What can't be chosen is marked once; a NaN would spoil every distance to it, so it goes.
    selectable = _selectable(points, skip_near_origin)
    points = jnp.where(jnp.isfinite(points), points, 0.0)
    start = jnp.broadcast_to(jnp.clip(jnp.asarray(start_index, jnp.int32), 0, size - 1), (batch,))
    implementations = {
        'reference': functools.partial(_reference, num_samples=num_samples),
        'xla': functools.partial(_batched, num_samples=num_samples),
        'cpu': functools.partial(_chunked, num_samples=num_samples),
    }
    return dispatch('farthest_point_sample', implementations, backend, points, selectable, start)


def _selectable(points: jax.Array, skip_near_origin: bool) -> jax.Array:
    """[B, N] bool, the points that may be chosen: finite, and not near the origin."""
    norm = jnp.sum(points * points, axis=-1)
    return jnp.isfinite(norm) & (norm > (NEAR_ORIGIN if skip_near_origin else -1.0))


def _reference(
    points: jax.Array, selectable: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """The definition, one cloud at a time."""

    def one(cloud: jax.Array, allowed: jax.Array, first: jax.Array) -> jax.Array:
        def choose(carry: tuple[jax.Array, jax.Array], _: None) -> tuple:
            nearest, last = carry
            nearest = jnp.minimum(nearest, jnp.sum((cloud - cloud[last][None]) ** 2, axis=-1))
            chosen = jnp.argmax(jnp.where(allowed, nearest, -1.0)).astype(jnp.int32)
            return (nearest, chosen), last

        distances = jnp.full(cloud.shape[:1], 1e10, jnp.float32)
        return jax.lax.scan(choose, (distances, first), length=num_samples)[1]

    return jax.vmap(one)(points, selectable, start)


def _batched(
    points: jax.Array, selectable: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """All clouds in step, as structure of arrays, with max and first index for `argmax`.

    XLA:CPU does not vectorise the variadic reduction of `argmax`, and a minor axis of 3 is padded
    to 128 lanes on TPU: either costs an order of magnitude here.
    """
    x, y, z = jnp.moveaxis(points, -1, 0)
    size = points.shape[1]
    iota = jnp.arange(size, dtype=jnp.int32)[None]

    def choose(step: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple:
        nearest, last, chosen = carry
        chosen = jax.lax.dynamic_update_slice_in_dim(chosen, last, step, axis=1)
        cx, cy, cz = (jnp.take_along_axis(a, last, axis=1) for a in (x, y, z))
        nearest = jnp.minimum(nearest, (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        farthest = jnp.max(nearest, axis=1, keepdims=True)
        last = jnp.min(jnp.where(nearest == farthest, iota, size - 1), axis=1, keepdims=True)
        return nearest, last, chosen

    # Below every distance, so that no minimum lifts a point again that can't be chosen.
    nearest = jnp.where(selectable, jnp.float32(1e10), -1.0)
    chosen = jnp.zeros((points.shape[0], num_samples), jnp.int32)
    return jax.lax.fori_loop(0, num_samples, choose, (nearest, start[:, None], chosen))[2]


def _chunked(
    points: jax.Array, selectable: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """`_batched`, a cache's worth of clouds at a time."""
    batch, size, _ = points.shape
    chunk = max(1, min(batch, CPU_CHUNK_BYTES // (16 * size)))
    whole = batch - batch % chunk

    def some(clouds: tuple[jax.Array, ...]) -> jax.Array:
        return _batched(*clouds, num_samples=num_samples)

    def split(array: jax.Array) -> jax.Array:
        return array[:whole].reshape(-1, chunk, *array.shape[1:])

    arrays = (points, selectable, start)
    indices = jax.lax.map(some, tuple(map(split, arrays))).reshape(whole, num_samples)
    if whole < batch:
        indices = jnp.concatenate([indices, some(tuple(a[whole:] for a in arrays))])
    return indices
