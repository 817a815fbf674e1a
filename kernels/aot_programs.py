"""What is compiled ahead of time: every kernel at every named shape, and groups over devices."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from kernels import farthest_point_sample, fps_tpu, group_points, knn, knn_tpu
from kernels.aot_targets import one_axis
from kernels.cases import BATCHES, CASES
from kernels.dispatch import DATA_AXIS


@dataclasses.dataclass(frozen=True)
class Program:
    """Something to compile.

    Attributes:
        name: unique among those of a target.
        targets: the names of what to compile it for; see `aot_targets.TARGETS`.
        lower: it, for devices.
        kernel: the kernel that it is, and runs `rounds` times around; '' for a larger program.
        rounds: of the kernel's innermost loop on a TPU.
    """

    name: str
    targets: tuple[str, ...]
    lower: Callable[[list[jax.Device]], jax.stages.Lowered]
    kernel: str = ''
    rounds: int = 0


CHIPS = ('v4', 'v5e', 'v6e')


def programs() -> list[Program]:
    """The kernels by operation, shape and batch; and the sampled groups of a spread batch."""
    operations = [o for case in CASES.values() for o in case.operations()]
    found = [
        make(batch, *o) for make in (_fps, _knn) for batch in BATCHES for o in sorted({*operations})
    ]
    spread = ('v5e:4x4', '8 x H200')
    name = 'groups of 1,024 clouds, 2048 to 128, k 32'
    return [*found, Program(name, spread, _groups)]


def _fps(batch: int, size: int, samples: int, _: int) -> Program:
    blocks = -(-batch // fps_tpu.block_of_clouds(batch, size))
    sample = functools.partial(farthest_point_sample, num_samples=samples)

    def lower(devices: list[jax.Device]) -> jax.stages.Lowered:
        return _on_one(devices, sample, (batch, size, 3))

    name = f'fps {size} to {samples}, batch {batch}'
    return Program(name, (*CHIPS, 'sm_90'), lower, 'farthest_point_sample', blocks * samples)


def _knn(batch: int, size: int, groups: int, k: int) -> Program:
    blocks = batch * -(-groups // knn_tpu.block_of_queries(groups, size))

    def lower(devices: list[jax.Device]) -> jax.stages.Lowered:
        return _on_one(devices, lambda q, p: knn(q, p, k), (batch, groups, 3), (batch, size, 3))

    return Program(f'knn {groups} x {k} of {size}, batch {batch}', CHIPS, lower, 'knn', blocks * k)


def _on_one(
    devices: list[jax.Device], function: Callable, *shapes: tuple[int, ...]
) -> jax.stages.Lowered:
    here = SingleDeviceSharding(devices[0])
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32, sharding=here) for shape in shapes]
    return jax.jit(function).lower(*arguments)


def _groups(devices: list[jax.Device]) -> jax.stages.Lowered:
    mesh = one_axis(devices, DATA_AXIS)
    apart = NamedSharding(mesh, PartitionSpec(DATA_AXIS))
    points = jax.ShapeDtypeStruct((1024, 2048, 3), jnp.float32, sharding=apart)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return jax.jit(lambda p: group_points(p, 128, 32)).lower(points)
