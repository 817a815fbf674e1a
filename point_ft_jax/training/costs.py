"""The cost of a compiled program: FLOPs, memory and compile time, as counted by XLA."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from point_ft_jax.core.devices import compiler_options
from point_ft_jax.data.split import Split
from point_ft_jax.models.tokenizer import unblocked
from point_ft_jax.training.population import Training, step_population


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
