"""Training steps that `python -m kernels.aot` compiles for pods and GPUs."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from kernels.aot_programs import Program
from kernels.aot_targets import one_axis
from kernels.dispatch import DATA_AXIS
from point_ft_jax import bench, model, params, train

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


def lower_step(method: str, batch: int, devices: list[jax.Device]) -> jax.stages.Lowered:
    """A step whose batch is spread over `devices`; the parameters are on all of them."""
    built = model.hold_frozen(model.build('recon', method, 15, dtype=jnp.bfloat16))
    mesh = one_axis(devices, DATA_AXIS)
    recipe = bench.make_recipe(built, 2048, mesh=mesh)
    shapes = built.shapes()
    chosen = params.select(shapes['params'], built.method.trainable)
    moving, frozen = params.partition(shapes['params'], chosen)
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
