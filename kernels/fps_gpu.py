"""Farthest-point sampling as a GPU kernel (Mosaic GPU, compute capability 9.0 and newer).

One thread block a cloud: points and distances stay in registers, spread over some warpgroups, with
a copy of the points in shared memory for the one point that every step looks up.

Mosaic GPU is imported where it is used: other machines need none of it, and some can't import it.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

CAPABILITY = 9.0  # what Mosaic GPU needs; older GPUs make its compiler abort the process
THREADS = 128  # of a warpgroup
LARGEST = 8192  # points of a cloud: what the registers of eight warpgroups hold
WARPGROUPS = {1024: 1, 4096: 4, LARGEST: 8}  # by the largest cloud that they are for


def fits(size: int) -> bool:
    """Whether a thread block can hold a cloud of `size` points."""
    return size <= LARGEST


@functools.partial(jax.jit, static_argnames='num_samples')
def sample(
    points: jax.Array, before: jax.Array, start: jax.Array, *, num_samples: int
) -> jax.Array:
    """Indices [B, G] int32; arguments as in `fps_tpu.sample`."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    batch, size, _ = points.shape
    groups = next(count for largest, count in WARPGROUPS.items() if size <= largest)
    columns = -(-size // (THREADS * groups)) * THREADS * groups
    grow = ((0, 0), (0, columns - size))
    planes = jnp.pad(jnp.moveaxis(points, -1, 0), ((0, 0), *grow))
    before = jnp.pad(before, grow, constant_values=-1.0)
    run = plgpu.kernel(
        functools.partial(_kernel, groups=groups),
        out_type=jax.ShapeDtypeStruct((batch, num_samples), jnp.int32),
        scratch_types=[
            plgpu.SMEM((3, columns), jnp.float32),
            plgpu.SMEM((2 * groups,), jnp.float32),
            plgpu.SMEM((2 * groups,), jnp.int32),
            plgpu.Barrier(num_arrivals=groups),
        ],
        grid=(batch,),
        grid_names=('cloud',),
        num_threads=groups,
        thread_name='warpgroup',
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        kernel_name='farthest_point_sample',
    )
    return run(planes, before, start)


def _kernel(planes, before, start, picks, cloud_copy, values, indices, barrier, *, groups) -> None:
    """One warpgroup's share of one cloud; `values` and `indices` hold what each group found.

    Both are used in turns, so that one barrier a step is enough: who writes for the next step but
    one has seen all others read.
    """
    from jax.experimental.pallas import mosaic_gpu as plgpu

    cloud, group = jax.lax.axis_index('cloud'), jax.lax.axis_index('warpgroup')
    share = planes.shape[2] // groups
    own = pl.ds(group * share, share)
    layout = plgpu.Layout.WG_STRIDED((share,), vec_size=1)
    x, y, z = (plgpu.layout_cast(planes[axis, cloud, own], layout) for axis in range(3))
    index = plgpu.broadcasted_iota(jnp.int32, (share,), 0, layout=layout) + group * share

    def together() -> None:
        plgpu.barrier_arrive(barrier)
        plgpu.barrier_wait(barrier)

    def merge(step: jax.Array, value: jax.Array, at: jax.Array) -> jax.Array:
        """The index of the largest value of all groups, the first of equals."""
        slot = step % 2 * groups
        values[slot + group], indices[slot + group] = value, at
        together()
        value, at = values[slot], indices[slot]
        for other in range(1, groups):
            larger = values[slot + other] > value
            value = jnp.where(larger, values[slot + other], value)
            at = jnp.where(larger, indices[slot + other], at)
        return at

    def choose(step: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple:
        closer, last = carry

        @pl.when(group == 0)
        def _() -> None:
            picks[cloud, step] = last

        distance = sum((p - cloud_copy[axis, last]) ** 2 for axis, p in enumerate((x, y, z)))
        closer = jnp.minimum(closer, distance)
        value = jnp.max(closer)
        at = jnp.min(jnp.where(closer == value, index, planes.shape[2]))
        return closer, at if groups == 1 else merge(step, value, at)

    for axis, plane in enumerate((x, y, z)):
        cloud_copy[axis, own] = plane
    together()
    closer = plgpu.layout_cast(before[cloud, own], layout)
    jax.lax.fori_loop(0, picks.shape[1], choose, (closer, start[cloud]))
