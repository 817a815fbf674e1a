"""The training loop of an epoch, compiled, or step by step for splits larger than the device."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, everywhere, over_devices, spread
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.data.split import Split
from point_ft_jax.training.costs import compiled_cost
from point_ft_jax.training.population import Crew, step_all
from point_ft_jax.training.step import Recipe, State


@dataclasses.dataclass(frozen=True)
class Advance:
    """Some steps of an epoch, compiled.

    `advance(state, frozen, logs, order, first, last)` takes the steps `first` to `last` (exclusive)
    of an epoch whose batches are the rows of `order` [steps, B], and returns the state and `logs`
    with these steps' scalars in place. How an epoch is cut into calls changes nothing. `state` and
    `logs` are donated.

    Attributes:
        call: does it.
        cost: of the compiled program, by XLA: the bytes of its arguments, outputs and temporaries,
            a device; see `report.Cost`.
    """

    call: Callable[..., tuple[State, dict[str, Array]]]
    cost: dict[str, float]

    def __call__(self, *args: object) -> tuple[State, dict[str, Array]]:
        return self.call(*args)


def compile_advance(
    recipe: Recipe,
    who: Crew,
    split: Split,
    state: State,
    frozen: trees.Tree,
    order: np.ndarray,
    device_bytes: int,
) -> Advance:
    """Compiles the steps of an epoch over `split`, for arguments like those given.

    A split of at most `device_bytes` lives on the device, and a call is one loop there; batches of
    a larger one stream.
    """
    make = _compile_loop if split.points.nbytes <= device_bytes else _compile_stream
    return make(recipe, who, split, state, frozen, order)


def _compile_loop(
    recipe: Recipe, who: Crew, split: Split, state: State, frozen: trees.Tree, order: np.ndarray
) -> Advance:
    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def loop(
        state: State,
        frozen: trees.Tree,
        logs: dict[str, Array],
        order: Array,
        first: Array,
        last: Array,
        data: tuple[Array, Targets],
        who: Crew,
    ) -> tuple[State, dict[str, Array]]:
        def body(i: Array, carry: tuple) -> tuple:
            state, logs = carry
            rows = spread(recipe.mesh, order[i], order.ndim - 2)
            batch = jax.tree.map(lambda array: array[rows], data)
            return _logged(recipe, who, state, frozen, logs, i, *batch)

        return jax.lax.fori_loop(first, last, body, (state, logs))

    data = everywhere(recipe.mesh, ((split.points, recipe.task.targets(split)), who))
    logs = everywhere(recipe.mesh, empty_logs(recipe, who, len(order)))
    zero = np.int32(0)
    compiled = loop.lower(state, frozen, logs, order, zero, zero, *data).compile()

    def call(
        state: State, frozen: trees.Tree, logs: dict, order: np.ndarray, first: int, last: int
    ) -> tuple[State, dict[str, Array]]:
        return compiled(state, frozen, logs, order, np.int32(first), np.int32(last), *data)

    return Advance(call, compiled_cost(compiled))


def _compile_stream(
    recipe: Recipe, who: Crew, split: Split, state: State, frozen: trees.Tree, order: np.ndarray
) -> Advance:
    data = split.points, recipe.task.targets(split)

    def batch(rows: np.ndarray) -> tuple[Array, Targets]:
        some = jax.tree.map(lambda array: array[rows], data)
        return over_devices(recipe.mesh, some, rows.ndim - 1)

    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def one(
        state: State,
        frozen: trees.Tree,
        logs: dict[str, Array],
        i: Array,
        points: Array,
        targets: Targets,
        who: Crew,
    ) -> tuple[State, dict[str, Array]]:
        return _logged(recipe, who, state, frozen, logs, i, points, targets)

    who, logs = everywhere(recipe.mesh, (who, empty_logs(recipe, who, len(order))))
    compiled = one.lower(state, frozen, logs, np.int32(0), *batch(order[0]), who).compile()

    def call(
        state: State, frozen: trees.Tree, logs: dict, order: np.ndarray, first: int, last: int
    ) -> tuple[State, dict[str, Array]]:
        for i in range(first, last):
            state, logs = compiled(state, frozen, logs, np.int32(i), *batch(order[i]), who)
        return state, logs

    return Advance(call, compiled_cost(compiled))


def _logged(
    recipe: Recipe,
    who: Crew,
    state: State,
    frozen: trees.Tree,
    logs: dict[str, Array],
    i: Array,
    points: Array,
    targets: Targets,
) -> tuple[State, dict[str, Array]]:
    """A step whose scalars go to place `i` of the logs."""
    axis = points.ndim - 3
    points, targets = jax.tree.map(lambda a: spread(recipe.mesh, a, axis), (points, targets))
    state, scalars = step_all(recipe, who, state, frozen, points, targets)
    return state, {name: logs[name].at[i].set(value) for name, value in scalars.items()}


def empty_logs(recipe: Recipe, who: Crew, steps: int) -> dict[str, Array]:
    """The scalars of an epoch of `steps` steps before the first, [steps]; of several [steps, K]."""
    shape = (steps, *jnp.shape(who.rates))
    names = ('train_loss', *recipe.task.scalars, 'gradient_norm')
    return {name: jnp.zeros(shape, jnp.float32) for name in names}
