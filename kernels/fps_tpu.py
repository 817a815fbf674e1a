"""Farthest-point sampling as a TPU kernel: clouds in sublanes, points in lanes, all in VMEM."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 8
MOST_CLOUDS = 64  # a block; more of them hide the latency of a reduction over lanes
VMEM_BYTES = 12 * 2**20  # of the 16 MiB that a kernel may take on v4 and v5e
ROWS = 12  # float32 rows of N a cloud: four inputs, twice buffered, the state, and temporaries


def refusal(size: int) -> str:
    """Why clouds of `size` points can't be taken; '' where they can."""
    largest = VMEM_BYTES // (ROWS * 4 * SUBLANES) // LANES * LANES
    return '' if size <= largest else f'holds clouds of at most {largest} points in its memory'


@functools.partial(jax.jit, static_argnames='num_samples')
def sample(
    points: jax.Array, before: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """Indices [B, G] int32 of clouds [B, N, 3] float32, all finite.

    `before` [B, N] are the distances before the first step: negative for points that can't be
    chosen, above every other distance for the rest. `start` [B] int32 is in 0..N-1.
    """
    batch, size, _ = points.shape
    clouds = block_of_clouds(batch, size)
    rows, columns = _up(batch, clouds), _up(size, LANES)
    grow = ((0, rows - batch), (0, columns - size))
    # Lanes beyond the cloud can't be chosen either, and come after those that might be first.
    before = jnp.pad(before, grow, constant_values=-1.0)
    planes = jnp.pad(jnp.moveaxis(points, -1, 0), ((0, 0), *grow))
    start = jnp.pad(start[:, None], (grow[0], (0, 0))).astype(jnp.float32)
    picks = pl.pallas_call(
        functools.partial(_kernel, num_samples=num_samples),
        grid=(rows // clouds,),
        in_specs=[
            pl.BlockSpec((3, clouds, columns), lambda i: (0, i, 0)),
            pl.BlockSpec((clouds, columns), lambda i: (i, 0)),
            pl.BlockSpec((clouds, 1), lambda i: (i, 0)),
        ],
        out_specs=pl.BlockSpec((clouds, num_samples), lambda i: (i, 0)),
        out_shape=jax.ShapeDtypeStruct((rows, num_samples), jnp.float32),
        scratch_shapes=[pltpu.VMEM((clouds, columns), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=('parallel',)),
        name='farthest_point_sample',
    )(planes, before, start)
    return picks[:batch].astype(jnp.int32)


def block_of_clouds(batch: int, size: int) -> int:
    """How many clouds a block holds: a power of two from 8 to 64, no more than there are."""
    clouds = MOST_CLOUDS
    row = ROWS * 4 * _up(size, LANES)
    while clouds > SUBLANES and (clouds // 2 >= batch or row * clouds > VMEM_BYTES):
        clouds //= 2
    return clouds


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _kernel(points, before, start, picks, state, *, num_samples: int) -> None:
    """One block: `picks` and the index `last` are float32, whose reductions over lanes are fast.

    A loop may not begin with a constant (the compiler has no layout for it to agree with), and so
    the start takes the way of every other pick, through a reduction.
    """
    lane = jax.lax.broadcasted_iota(jnp.int32, state.shape, 1).astype(jnp.float32)
    column = jax.lax.broadcasted_iota(jnp.int32, picks.shape, 1)
    beyond = jnp.float32(state.shape[1])

    def first(chosen: jax.Array) -> jax.Array:
        return jnp.min(jnp.where(chosen, lane, beyond), axis=1, keepdims=True)

    def choose(step: jax.Array, last: jax.Array) -> jax.Array:
        picks[...] = jnp.where(column == step, last, picks[...])
        here = lane == last
        distance = jnp.zeros_like(lane)
        for axis in range(3):
            plane = points[axis]
            center = jnp.sum(jnp.where(here, plane, 0.0), axis=1, keepdims=True)
            distance += (plane - center) ** 2
        closer = jnp.minimum(state[...], distance)
        state[...] = closer
        return first(closer == jnp.max(closer, axis=1, keepdims=True))

    state[...] = before[...]
    jax.lax.fori_loop(0, num_samples, choose, first(lane == start[...]))
