"""The training step, and the loop over steps that runs on the device.

Trees come in halves (see `params`): gradients, optimizer state and updates exist for the trainable
half only, and the frozen half is an argument that nothing changes.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh

from point_ft_jax import params
from point_ft_jax.augment import Augmentation
from point_ft_jax.layers import Array
from point_ft_jax.mesh import compiler_options, everywhere, over_devices, spread
from point_ft_jax.optimizer import Schedule
from point_ft_jax.split import Split
from point_ft_jax.task import Task, classification
from point_ft_jax.tokenizer import whole

Targets = Any  # an array [B, ...], or a tree of such: what a task's loss is told


@struct.dataclass
class State:
    """What a training step changes.

    Attributes:
        step: [] int32, the steps taken.
        trainable: the trainable half of the parameters.
        batch_stats: the running statistics.
        opt_state: the optimizer's state for the trainable half.
    """

    step: Array
    trainable: params.Tree
    batch_stats: params.Tree
    opt_state: optax.OptState


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training step does, but for the numbers that it does it to.

    Attributes:
        module: the model.
        tx: the optimizer for the trainable half.
        schedule: the learning rate by step, as in `tx`.
        num_points: how many points of a cloud the model sees.
        augment: what happens to them.
        mesh: the devices.
        task: what the model is trained for.
        momentum: by step, what running statistics move by, as a share of a tenth; None for all.
    """

    module: nn.Module
    tx: optax.GradientTransformation
    schedule: Schedule
    num_points: int
    augment: Augmentation
    mesh: Mesh
    task: Task = dataclasses.field(default_factory=classification)
    momentum: Schedule | None = None


def start(recipe: Recipe, trainable: params.Tree, batch_stats: params.Tree) -> State:
    """The state before the first step; copies, since steps donate what they are given."""
    trainable, batch_stats = jax.tree.map(jnp.copy, (trainable, batch_stats))
    return State(jnp.zeros((), jnp.int32), trainable, batch_stats, recipe.tx.init(trainable))


def step(
    recipe: Recipe,
    state: State,
    frozen: params.Tree,
    points: Array,
    targets: Targets,
    key: jax.Array,
) -> tuple[State, dict[str, Array]]:
    """One optimizer step on clouds [B, N, 3] and what the task's loss is told of them [B, ...].

    The randomness of a step depends on `key` and on the step's number alone. Returns the new state
    and the batch's scalars: 'train_loss', the task's, and the trainable half's 'gradient_norm'
    before clipping.
    """
    sample_key, augment_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
    points, targets = recipe.task.draw(sample_key, points, targets, recipe.num_points)
    points = recipe.augment(augment_key, points)

    def loss(trainable: params.Tree) -> tuple[Array, tuple[dict[str, Array], params.Tree]]:
        variables = {
            'params': params.combine(trainable, frozen),
            'batch_stats': state.batch_stats,
        }
        return recipe.task.loss(recipe.module, variables, points, targets, loss_key)

    (value, (scalars, batch_stats)), gradients = jax.value_and_grad(loss, has_aux=True)(
        state.trainable
    )
    updates, opt_state = recipe.tx.update(gradients, state.opt_state, state.trainable)
    norm = optax.tree.norm(gradients)
    trainable = optax.apply_updates(state.trainable, updates)
    if recipe.momentum is not None:
        share = recipe.momentum(state.step)
        batch_stats = jax.tree.map(
            lambda old, new: old + share * (new - old), state.batch_stats, batch_stats
        )
    state = State(state.step + 1, trainable, batch_stats, opt_state)
    return state, {'train_loss': value, **scalars, 'gradient_norm': norm}


def empty_logs(recipe: Recipe, steps: int) -> dict[str, Array]:
    """The scalars of an epoch of `steps` steps, before the first."""
    names = ('train_loss', *recipe.task.scalars, 'gradient_norm')
    return {name: jnp.zeros(steps, jnp.float32) for name in names}


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
    split: Split,
    key: jax.Array,
    state: State,
    frozen: params.Tree,
    logs: dict[str, Array],
    order: np.ndarray,
    device_bytes: int,
) -> Advance:
    """Compiles the steps of an epoch over `split`, for arguments like those given.

    A split of at most `device_bytes` lives on the device, and a call is one loop there; batches of
    a larger one stream.
    """
    make = _compile_loop if split.points.nbytes <= device_bytes else _compile_stream
    return make(recipe, split, key, state, frozen, logs, order)


def _compile_loop(
    recipe: Recipe,
    split: Split,
    key: jax.Array,
    state: State,
    frozen: params.Tree,
    logs: dict[str, Array],
    order: np.ndarray,
) -> Advance:
    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def loop(
        state: State,
        frozen: params.Tree,
        logs: dict[str, Array],
        order: Array,
        first: Array,
        last: Array,
        data: tuple[Array, Targets],
        key: jax.Array,
    ) -> tuple[State, dict[str, Array]]:
        def body(i: Array, carry: tuple) -> tuple:
            state, logs = carry
            rows = spread(recipe.mesh, order[i])
            batch = jax.tree.map(lambda array: array[rows], data)
            return _logged(recipe, state, frozen, logs, i, *batch, key)

        return jax.lax.fori_loop(first, last, body, (state, logs))

    data = everywhere(recipe.mesh, ((split.points, recipe.task.targets(split)), key))
    zero = np.int32(0)
    compiled = loop.lower(state, frozen, logs, order, zero, zero, *data).compile()

    def call(
        state: State, frozen: params.Tree, logs: dict, order: np.ndarray, first: int, last: int
    ) -> tuple[State, dict[str, Array]]:
        return compiled(state, frozen, logs, order, np.int32(first), np.int32(last), *data)

    return Advance(call, compiled_cost(compiled))


def _compile_stream(
    recipe: Recipe,
    split: Split,
    key: jax.Array,
    state: State,
    frozen: params.Tree,
    logs: dict[str, Array],
    order: np.ndarray,
) -> Advance:
    data = split.points, recipe.task.targets(split)

    def batch(rows: np.ndarray) -> tuple[Array, Targets]:
        return over_devices(recipe.mesh, jax.tree.map(lambda array: array[rows], data))

    @functools.partial(jax.jit, donate_argnums=(0, 2), compiler_options=compiler_options())
    def one(
        state: State,
        frozen: params.Tree,
        logs: dict[str, Array],
        i: Array,
        points: Array,
        targets: Targets,
        key: jax.Array,
    ) -> tuple[State, dict[str, Array]]:
        return _logged(recipe, state, frozen, logs, i, points, targets, key)

    key = everywhere(recipe.mesh, key)
    compiled = one.lower(state, frozen, logs, np.int32(0), *batch(order[0]), key).compile()

    def call(
        state: State, frozen: params.Tree, logs: dict, order: np.ndarray, first: int, last: int
    ) -> tuple[State, dict[str, Array]]:
        for i in range(first, last):
            state, logs = compiled(state, frozen, logs, np.int32(i), *batch(order[i]), key)
        return state, logs

    return Advance(call, compiled_cost(compiled))


def _logged(
    recipe: Recipe,
    state: State,
    frozen: params.Tree,
    logs: dict[str, Array],
    i: Array,
    points: Array,
    targets: Targets,
    key: jax.Array,
) -> tuple[State, dict[str, Array]]:
    """A step whose scalars go to place `i` of the logs."""
    points, targets = jax.tree.map(lambda a: spread(recipe.mesh, a), (points, targets))
    state, scalars = step(recipe, state, frozen, points, targets, key)
    return state, {name: logs[name].at[i].set(value) for name, value in scalars.items()}


def compiled_cost(compiled: jax.stages.Compiled) -> dict[str, float]:
    """The bytes that a compiled program takes, by kind; {} where XLA does not say."""
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
    with whole():
        analysis = jax.jit(lambda *args: function(*args)).lower(*args).cost_analysis()
    return (analysis or {}).get('flops')


def step_flops(
    recipe: Recipe, state: State, frozen: params.Tree, split: Split, batch_size: int
) -> float | None:
    """The floating-point operations of one training step."""
    data = split.points, recipe.task.targets(split)
    batch = jax.tree.map(lambda array: array[:batch_size], data)
    return count_flops(functools.partial(step, recipe), state, frozen, *batch, jax.random.key(0))


def epoch_order(seed: int, epoch: int, size: int, batch_size: int) -> np.ndarray:
    """[steps, B] int32: a shuffled epoch in whole batches; the rest of the clouds sit it out."""
    order = np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)
    steps = size // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)
