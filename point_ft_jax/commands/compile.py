"""Compiles the kernels and training steps for TPUs and GPUs that are not at hand.

    point-ft compile --list
    point-ft compile --only="H200/dapt step"

The options are those of `python -m kernels.aot`, which compiles the kernels alone.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from kernels import aot
from kernels.aot_programs import Program
from kernels.aot_targets import one_axis
from kernels.dispatch import DATA_AXIS
from point_ft_jax.commands import benchmark
from point_ft_jax.core import flags, trees
from point_ft_jax.models import create_model
from point_ft_jax.training import step as train

# Clouds of 2,048 points in 128 groups of 32, by target.
BATCHES = {'v5e:4x4': 1024, 'v5e:16x16': 8192, 'H200': 128, '8 x H200': 1024}


def programs() -> list[Program]:
    """A training step of the 22.1M ReCon in bfloat16, by DAPT and in full, on each target."""
    return [
        Program(
            f'{method} step, batch {batch:,}',
            (target,),
            functools.partial(lower_step, method, batch),
        )
        for target, batch in BATCHES.items()
        for method in ('dapt', 'full')
    ]


def main(arguments: Sequence[str]) -> int:
    """Runs the command with its arguments."""
    command = ('point_ft_jax', 'compile')
    return aot.main(arguments, programs(), command, flags.parser('compile', __doc__))


def lower_step(method: str, batch: int, devices: list[jax.Device]) -> jax.stages.Lowered:
    """A step whose batch is spread over `devices`; the parameters are on all of them."""
    built = create_model('recon', 15, method=method, dtype='bfloat16')
    mesh = one_axis(devices, DATA_AXIS)
    recipe = benchmark.make_recipe(built, 2048, mesh=mesh)
    shapes = built.shapes()
    chosen = trees.select(shapes['params'], built.method.trainable)
    moving, frozen = trees.partition(shapes['params'], chosen)
    state = jax.eval_shape(functools.partial(train.start, recipe), moving, shapes['batch_stats'])
    points = jax.ShapeDtypeStruct((batch, 2048, 3), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    key = jax.eval_shape(jax.random.key, 0)

    def placed(tree: object, *axes: str) -> object:
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    step = jax.jit(functools.partial(train.step, recipe), donate_argnums=0)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return step.lower(
            *placed((state, frozen)), *placed((points, labels), DATA_AXIS), placed(key)
        )
