"""The cost of a compiled program: FLOPs, memory and compile time, as counted by XLA."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, main_process
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.data.split import Split
from point_ft_jax.models.model import Model
from point_ft_jax.models.tokenizer import unblocked
from point_ft_jax.training.population import Population, Training, step_population
from point_ft_jax.training.step import Recipe, start, stored

FILE = 'cost.json'


def compiled_cost(compiled: jax.stages.Compiled) -> dict[str, float]:
    """The bytes of a compiled program's arguments, temporaries and outputs; {} if unknown."""
    memory = compiled.memory_analysis()
    if memory is None:
        return {}
    return {
        'argument_bytes': memory.argument_size_in_bytes,
        'temporary_bytes': memory.temp_size_in_bytes,
        'output_bytes': memory.output_size_in_bytes,
    }


def count_flops(function: Callable, *args: object) -> float | None:
    """The floating-point operations of `function(*args)`, by XLA, before it optimises."""
    with unblocked():
        analysis = jax.jit(lambda *args: function(*args)).lower(*args).cost_analysis()
    return (analysis or {}).get('flops')


def step_flops(training: Training, split: Split, rows: np.ndarray) -> float | None:
    """The floating-point operations of one training step on the clouds `rows` of `split`.

    `rows` is [B], or [K, B] of members with clouds of their own.
    """
    recipe = training.recipe
    data = split.points, recipe.task.targets(split)
    batch = jax.tree.map(lambda array: array[rows], data)
    arrays = training.population, training.state, training.frozen
    return count_flops(functools.partial(step_population, recipe), *arrays, *batch)


def step_memory(
    model: Model,
    recipe: Recipe,
    batch: int,
    channels: int = 0,
    device: jax.Device | None = None,
) -> dict[str, float]:
    """The bytes of one training step of a classifier, and its operations; nothing is allocated.

    Args:
        model: what trains.
        recipe: how; it says how many points a cloud has.
        batch: clouds a step.
        channels: of a point besides x, y, z.
        device: what to compile for, which may be none of this machine's; None for this machine.

    Returns:
        'arguments', 'temporaries', 'total' (with those outputs that do not take the place of an
        argument) and 'flops', recomputation included.
    """
    shapes = model.shapes()
    moving, frozen = trees.partition(
        shapes['params'], trees.select(shapes['params'], model.trainable)
    )
    state = jax.eval_shape(lambda *args: start(recipe, *args), moving, shapes['batch_stats'])
    frozen = stored(recipe, frozen)
    points = jax.ShapeDtypeStruct((batch, recipe.num_points, 3 + channels), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    step = functools.partial(step_population, recipe)
    arguments = jax.eval_shape(Population.of_one), state, frozen, points, labels
    options = compiler_options() if device is None else {}
    program = jax.jit(lambda *args: step(*args), donate_argnums=1, compiler_options=options)
    found = program.lower(*_on(device, arguments)).compile().memory_analysis()
    kept = found.output_size_in_bytes - found.alias_size_in_bytes
    return {
        'arguments': found.argument_size_in_bytes,
        'temporaries': found.temp_size_in_bytes,
        'total': found.argument_size_in_bytes + found.temp_size_in_bytes + kept,
        'flops': count_flops(step, *arguments),
    }


def _on(device: jax.Device | None, shapes: tuple) -> tuple:
    """The shapes, as they lie on a device; as they are where there is none."""
    if device is None:
        return shapes
    there = SingleDeviceSharding(device)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=there), shapes)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program together with its arguments.

    Attributes:
        run: runs it once and waits for its end.
        flops: its floating-point operations; see `count_flops`.
        cost: see `compiled_cost`.
        compile_seconds: how long compilation took.
    """

    run: Callable[[], Any]
    flops: float
    cost: dict[str, float]
    compile_seconds: float


def compile_program(function: Callable, *args: Any) -> Program:
    """`function` compiled for `args`."""
    since = time.perf_counter()
    compiled = jax.jit(function, compiler_options=compiler_options()).lower(*args).compile()
    seconds = time.perf_counter() - since
    return Program(
        run=lambda: jax.block_until_ready(compiled(*args)),
        flops=count_flops(function, *args),
        cost=compiled_cost(compiled),
        compile_seconds=seconds,
    )


def write(folder: pathlib.Path | None, cost: Mapping[str, float]) -> None:
    """Writes the cost of a fit beside its checkpoints, if it keeps any."""
    if folder and main_process():
        write_json(folder / FILE, cost)


def read(folder: pathlib.Path | None) -> dict[str, float]:
    """The cost of a fit that had ended before; {} where it is not known."""
    path = folder and folder / FILE
    return read_json(path) if path and path.exists() else {}
