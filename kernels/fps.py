"""Farthest-point sampling: the definition, the XLA formulations and the public call.

The operation every point transformer starts with. It follows the semantics of the CUDA operation
that the published models were trained with: the walk starts at a given index, distances are squared
direct differences in float32, and points within sqrt(1e-3) of the origin are never updated and
never chosen (`skip_near_origin`), except as the start. Ties go to the lowest index. The
kernels are in `fps_tpu` and `fps_gpu`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from kernels import fps_gpu, fps_tpu
from kernels.dispatch import AUTO, Implementation, check_cloud, compute_capability, dispatch

NEAR_ORIGIN = 1e-3  # squared distance to the origin up to which a point is invisible
FAR, NEVER = 1e10, -1.0  # distances before the first step, NEVER for points that can't be chosen
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
        skip_near_origin: never choose points with x^2+y^2+z^2 <= 1e-3 (except the start). The
            published models need it, MaskPoint's tokenizer excepted.
        backend: 'auto', 'reference', 'xla', 'cpu' (XLA in cache-sized chunks), 'tpu' or 'cuda' (the
            kernels; 'cuda' needs a compute capability of 9.0).

    Returns:
        [B, G] int32. When the selectable points are used up, the lowest selectable index follows
        again and again. Points with a NaN or an infinity are never chosen, except the start; an
        index is always in 0..N-1. No gradient flows through indices. Backends agree where float32
        holds the squared distances exactly; elsewhere they round them differently (a GPU fuses
        product and sum), and each pick is a farthest point up to that rounding.

    Raises:
        ValueError: at trace time: wrong rank or dtype, num_samples not in 1..N, or a backend that
            is unknown or can't take clouds of this size.
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
    before = jnp.where(_selectable(points, skip_near_origin), jnp.float32(FAR), NEVER)
    points = jnp.where(jnp.isfinite(points), points, 0.0)
    start = jnp.broadcast_to(jnp.clip(jnp.asarray(start_index, jnp.int32), 0, size - 1), (batch,))
    return dispatch(
        'farthest_point_sample', _implementations(size, num_samples), backend, points, before, start
    )


def _selectable(points: jax.Array, skip_near_origin: bool) -> jax.Array:
    """[B, N] bool, the points that may be chosen: finite, and not near the origin."""
    norm = jnp.sum(points * points, axis=-1)
    return jnp.isfinite(norm) & (norm > (NEAR_ORIGIN if skip_near_origin else -1.0))


def _implementations(size: int, num_samples: int) -> dict[str, Implementation]:
    """All take points [B, N, 3], finite, the distances [B, N] before the first step, and [B]."""
    capability = compute_capability()
    gpu = fps_gpu.refusal(size, capability)

    def implementation(run: Callable, *args: object, **options: object) -> Implementation:
        return Implementation(functools.partial(run, num_samples=num_samples), *args, **options)

    return {
        'reference': implementation(_reference),
        'xla': implementation(_batched),
        'cpu': implementation(_chunked, 'cpu'),
        'tpu': implementation(fps_tpu.sample, 'tpu', fps_tpu.refusal(size)),
        'cuda': implementation(fps_gpu.sample, 'cuda', gpu, known=capability is not None),
    }


def _reference(
    points: jax.Array, before: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """The definition, one cloud at a time."""

    def one(cloud: jax.Array, before: jax.Array, first: jax.Array) -> jax.Array:
        def choose(carry: tuple[jax.Array, jax.Array], _: None) -> tuple:
            nearest, last = carry
            nearest = jnp.minimum(nearest, jnp.sum((cloud - cloud[last][None]) ** 2, axis=-1))
            return (nearest, jnp.argmax(nearest).astype(jnp.int32)), last

        return jax.lax.scan(choose, (before, first), length=num_samples)[1]

    return jax.vmap(one)(points, before, start)


def _batched(
    points: jax.Array, before: jax.Array, start: jax.Array, *, num_samples: int
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

    chosen = jnp.zeros((points.shape[0], num_samples), jnp.int32)
    return jax.lax.fori_loop(0, num_samples, choose, (before, start[:, None], chosen))[2]


def _chunked(
    points: jax.Array, before: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """`_batched`, a cache's worth of clouds at a time."""
    batch, size, _ = points.shape
    chunk = max(1, min(batch, CPU_CHUNK_BYTES // (16 * size)))
    whole = batch - batch % chunk

    def some(clouds: tuple[jax.Array, ...]) -> jax.Array:
        return _batched(*clouds, num_samples=num_samples)

    def split(array: jax.Array) -> jax.Array:
        return array[:whole].reshape(-1, chunk, *array.shape[1:])

    arrays = (points, before, start)
    indices = jax.lax.map(some, tuple(map(split, arrays))).reshape(whole, num_samples)
    if whole < batch:
        indices = jnp.concatenate([indices, some(tuple(a[whole:] for a in arrays))])
    return indices
