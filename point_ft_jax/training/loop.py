"""The steps of an epoch, compiled: a loop on the device, or step by step for larger splits."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.devices import (
    compiler_options,
    everywhere,
    memory_bytes,
    over_devices,
    shard_batch,
)
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.data.split import Split
from point_ft_jax.models.recomputation import AUTO, MEMORY
from point_ft_jax.training.costs import compiled_cost
from point_ft_jax.training.divergence import keep_finite
from point_ft_jax.training.population import Population, Training, empty_logs, step_population
from point_ft_jax.training.step import State

# `advance(training, order, first, last)` takes the steps `first` to `last` (exclusive) of an epoch
# whose batches are the rows of `order`, see `Population.epoch_order`, and returns the training with
# its new state and with the scalars of these steps in its logs. The state and the logs that it is
# given are donated. How an epoch is divided into calls changes no number. From a step on that is
# not finite a member stays as it was, see `divergence.keep_finite`.
Advance = Callable[[Training, np.ndarray, int, int], Training]


def compile_epoch(
    training: Training, split: Split, order: np.ndarray, device_bytes: int
) -> tuple[Advance, dict[str, float]]:
    """The compiled steps of an epoch over `split`, and what the program costs.

    Where the model leaves it to the device what is kept for the backward pass
    (`recomputation.AUTO`), it is as much as fits.

    Args:
        training: what it is compiled for; nothing in it is changed.
        split: the training clouds. A split of at most `device_bytes` is stored on the device, and a
            call is one loop there; the batches of a larger one are sent to it one by one.
        order: the batches of an epoch.
        device_bytes: see `split`.

    Returns:
        See `Advance`; and the bytes of the program's arguments, outputs and temporaries on a
        device, see `costs.compiled_cost`.
    """
    compiler = _compile_loop if split.points.nbytes <= device_bytes else _compile_stream
    for choice in _choices(training):
        advance, cost = compiler(choice, split, order)
        if _fits(cost):
            break
    return advance, cost


def _choices(training: Training) -> list[Training]:
    """The training with each choice of memory; as it is where the choice is made already."""
    module = training.recipe.module
    if getattr(module.backbone, 'memory', '') != AUTO:
        return [training]
    modules = [module.clone(backbone=module.backbone.clone(memory=memory)) for memory in MEMORY]
    recipes = [dataclasses.replace(training.recipe, module=module) for module in modules]
    return [dataclasses.replace(training, recipe=recipe) for recipe in recipes]


def _fits(cost: Mapping[str, float]) -> bool:
    """Whether the device holds what a program takes, where both are known."""
    limit = memory_bytes()
    takes = cost.get('argument_bytes', 0) + cost.get('temporary_bytes', 0)
    return limit is None or takes <= limit


def _compile_loop(
    training: Training, split: Split, order: np.ndarray
) -> tuple[Advance, dict[str, float]]:
    recipe = training.recipe

    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def loop(
        state: State,
        frozen: trees.Tree,
        logs: dict[str, Array],
        order: Array,
        first: Array,
        last: Array,
        data: tuple[Array, Targets],
        population: Population,
    ) -> tuple[State, dict[str, Array]]:
        def body(i: Array, carry: tuple) -> tuple:
            state, logs = carry
            rows = shard_batch(recipe.mesh, order[i], order.ndim - 2)
            batch = _over_devices(recipe.mesh, jax.tree.map(lambda array: array[rows], data))
            new, scalars = step_population(recipe, population, state, frozen, *batch)
            return keep_finite(population, state, new, logs, i, scalars)

        return jax.lax.fori_loop(first, last, body, (state, logs))

    data = everywhere(
        recipe.mesh, ((split.points, recipe.task.targets(split)), training.population)
    )
    arguments = _arguments(training, order)
    zero = np.int32(0)
    compiled = loop.lower(*arguments, order, zero, zero, *data).compile()

    def advance(training: Training, order: np.ndarray, first: int, last: int) -> Training:
        carry = training.state, training.frozen, training.logs
        return training.replace(*compiled(*carry, order, np.int32(first), np.int32(last), *data))

    return advance, compiled_cost(compiled)


def _compile_stream(
    training: Training, split: Split, order: np.ndarray
) -> tuple[Advance, dict[str, float]]:
    recipe = training.recipe
    data = split.points, recipe.task.targets(split)

    def batch(rows: np.ndarray) -> tuple[Array, Targets]:
        arrays = jax.tree.map(lambda array: array[rows], data)
        return over_devices(recipe.mesh, arrays, rows.ndim - 1)

    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def one(
        state: State,
        frozen: trees.Tree,
        logs: dict[str, Array],
        i: Array,
        points: Array,
        targets: Targets,
        population: Population,
    ) -> tuple[State, dict[str, Array]]:
        batch = _over_devices(recipe.mesh, (points, targets))
        new, scalars = step_population(recipe, population, state, frozen, *batch)
        return keep_finite(population, state, new, logs, i, scalars)

    population = everywhere(recipe.mesh, training.population)
    arguments = _arguments(training, order)
    compiled = one.lower(*arguments, np.int32(0), *batch(order[0]), population).compile()

    def advance(training: Training, order: np.ndarray, first: int, last: int) -> Training:
        state, logs = training.state, training.logs
        for i in range(first, last):
            rows = batch(order[i])
            state, logs = compiled(state, training.frozen, logs, np.int32(i), *rows, population)
        return training.replace(state, logs)

    return advance, compiled_cost(compiled)


def _arguments(training: Training, order: np.ndarray) -> tuple:
    """The state, the frozen half and logs of as many steps as `order` has."""
    logs = empty_logs(training.recipe, training.population, len(order))
    return training.state, training.frozen, everywhere(training.recipe.mesh, logs)


def _over_devices(mesh: Mesh, batch: tuple[Array, Targets]) -> tuple[Array, Targets]:
    """Inside a jitted function: a batch divided among the devices."""
    axis = batch[0].ndim - 3
    return jax.tree.map(lambda array: shard_batch(mesh, array, axis), batch)
