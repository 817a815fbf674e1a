"""k nearest neighbours as a TPU kernel: queries in sublanes, points in lanes, K minima."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 8
MOST_QUERIES = 64  # a block
VMEM_BYTES = 8 * 2**20
ROWS = 6  # float32 rows of N a query: the distances, and temporaries
FARTHEST = float(jnp.finfo(jnp.float32).max)  # stands for an infinite distance, not yet taken


def refusal(size: int, k: int) -> str:
    """Why `k` neighbours among `size` points can't be had; '' where they can."""
    largest = VMEM_BYTES // (ROWS * 4 * SUBLANES) // LANES * LANES
    if size > largest:
        return f'holds clouds of at most {largest} points in its memory'
    return '' if k <= LANES else f'finds {LANES} neighbours at most, by one round each'


@functools.partial(jax.jit, static_argnames='k')
def nearest(queries: jax.Array, points: jax.Array, *, k: int) -> tuple[jax.Array, jax.Array]:
    """Squared distances [B, G, K] and indices of queries [B, G, 3] among points [B, N, 3]."""
    batch, groups, _ = queries.shape
    size = points.shape[1]
    block = block_of_queries(groups, size)
    rows, columns = _up(groups, block), _up(size, LANES)
    queries = jnp.pad(queries, ((0, 0), (0, rows - groups), (0, 0)))
    planes = jnp.pad(jnp.swapaxes(points, 1, 2), ((0, 0), (0, 0), (0, columns - size)))
    out_spec = pl.BlockSpec((1, block, k), lambda i, j: (i, j, 0))
    out_shape = jax.ShapeDtypeStruct((batch, rows, k), jnp.float32)
    distances, indices = pl.pallas_call(
        functools.partial(_kernel, size=size),
        grid=(batch, rows // block),
        in_specs=[
            pl.BlockSpec((1, block, 3), lambda i, j: (i, j, 0)),
            pl.BlockSpec((1, 3, columns), lambda i, j: (i, 0, 0)),
        ],
        out_specs=[out_spec, out_spec],
        out_shape=[out_shape, out_shape],
        scratch_shapes=[pltpu.VMEM((block, columns), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=('parallel', 'parallel')),
        name='knn',
    )(queries, planes)
    distances, indices = distances[:, :groups], indices[:, :groups].astype(jnp.int32)
    return jnp.where(distances < FARTHEST, distances, jnp.inf), indices


def block_of_queries(groups: int, size: int) -> int:
    """How many queries a block holds: a power of two from 8 to 64, no more than there are."""
    queries = MOST_QUERIES
    while queries > SUBLANES and (
        queries // 2 >= groups or ROWS * 4 * _up(size, LANES) * queries > VMEM_BYTES
    ):
        queries //= 2
    return queries


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _kernel(queries, points, distances, indices, state, *, size: int) -> None:
    """One block of one cloud's queries; indices are float32, see `fps_tpu`.

    `state` holds the distances, infinite where a point is taken or no point at all.
    """
    lane = jax.lax.broadcasted_iota(jnp.int32, state.shape, 1).astype(jnp.float32)
    column = jax.lax.broadcasted_iota(jnp.int32, distances.shape[1:], 1)
    total = jnp.zeros(state.shape, jnp.float32)
    for axis in range(3):
        total += (queries[0, :, axis : axis + 1] - points[0, axis : axis + 1, :]) ** 2
    total = jnp.where(total < FARTHEST, total, FARTHEST)  # a NaN too
    state[...] = jnp.where(lane < size, total, jnp.inf)

    def take(step: jax.Array, _: None) -> None:
        left = state[...]
        least = jnp.min(left, axis=1, keepdims=True)
        first = jnp.min(jnp.where(left == least, lane, jnp.inf), axis=1, keepdims=True)
        distances[0] = jnp.where(column == step, least, distances[0])
        indices[0] = jnp.where(column == step, first, indices[0])
        state[...] = jnp.where(lane == first, jnp.inf, left)

    jax.lax.fori_loop(0, distances.shape[2], take, None)
