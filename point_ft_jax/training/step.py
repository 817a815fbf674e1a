"""The training step, and the loop over steps that runs on the device.

Trees come in halves (see `params`): gradients, optimizer state and updates exist for the trainable
half only, and the frozen half is an argument that nothing changes. That is why many members can
train at once: `Crew` says who, and the same step runs for one or, through `vmap`, for all of them.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, everywhere, over_devices, spread
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.data.split import Split
from point_ft_jax.models.layers import Array
from point_ft_jax.models.tokenizer import whole
from point_ft_jax.training import population
from point_ft_jax.training.optimizer import Schedule, pack
from point_ft_jax.training.population import Member
from point_ft_jax.training.tasks.task import Targets, Task, classification


@struct.dataclass
class State:
    """What a training step changes.

    Of K members, every leaf but `step` and the statistics that they share has a leading axis K.

    Attributes:
        step: [] int32, the steps taken.
        trainable: the trainable half of the parameters.
        batch_stats: the running statistics.
        opt_state: the optimizer's state for the trainable half.
    """

    step: Array
    trainable: trees.Tree
    batch_stats: trees.Tree
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


@struct.dataclass
class Crew:
    """Who trains: one, or K members that share the frozen half.

    Attributes:
        keys: [] or [K] random keys.
        rates: [] or [K], multiples of the recipe's learning rate.
        shared: the parts of the statistics that the members share, since nothing changes them.
        own_clouds: whether each member has its own order of clouds and its own augmentations.
            Otherwise all see those of the first, and what the frozen backbone makes of them before
            the first tuned layer is computed once for all.
    """

    keys: jax.Array
    rates: Array
    shared: tuple[str, ...] = struct.field(pytree_node=False, default=())
    own_clouds: bool = struct.field(pytree_node=False, default=True)

    @property
    def several(self) -> bool:
        """Whether trees and batches have an axis of members."""
        return jnp.ndim(self.rates) > 0


def alone(key: jax.Array, rate: float = 1.0) -> Crew:
    """One run; its trees have no axis of members."""
    return Crew(key, jnp.float32(rate))


def crew(recipe: Recipe, runs: Sequence[Member], own_clouds: bool = True) -> Crew:
    """K members of one program."""
    keys = jnp.stack([jax.random.key(member.seed) for member in runs])
    shared = ('backbone',) if recipe.module.backbone.hold_statistics else ()
    return Crew(keys, jnp.float32([member.rate for member in runs]), shared, own_clouds)


def start(recipe: Recipe, trainable: trees.Tree, batch_stats: trees.Tree) -> State:
    """The state of one before the first step; copies, since steps donate what they are given."""
    trainable, batch_stats = jax.tree.map(jnp.copy, (trainable, batch_stats))
    return State(jnp.zeros((), jnp.int32), trainable, batch_stats, recipe.tx.init(trainable))


def start_all(recipe: Recipe, who: Crew, starts: Sequence[tuple[trees.Tree, trees.Tree]]) -> State:
    """The state of several: `starts` has each member's trainable half and statistics."""
    trainable = population.stack([moving for moving, _ in starts])
    statistics = population.stack([stats for _, stats in starts], who.shared)
    statistics = jax.tree.map(jnp.copy, statistics)
    step = jnp.zeros((), jnp.int32)
    return State(step, trainable, statistics, jax.vmap(recipe.tx.init)(trainable))


def step(
    recipe: Recipe,
    state: State,
    frozen: trees.Tree,
    points: Array,
    targets: Targets,
    key: jax.Array,
    rate: Array | float = 1.0,
    cloud_key: jax.Array | None = None,
) -> tuple[State, dict[str, Array]]:
    """One optimizer step of one member on clouds [B, N, 3] and what its loss is told of them.

    The randomness of a step depends on `key` and on the step's number alone, that of the clouds on
    `cloud_key` if there is one. The learning rate is `rate` times the recipe's. Returns the new
    state and the batch's scalars: 'train_loss', the task's, and the trainable half's
    'gradient_norm' before clipping.
    """
    sample_key, augment_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
    if cloud_key is not None:
        cloud_key = jax.random.fold_in(cloud_key, state.step)
        sample_key, augment_key, _ = jax.random.split(cloud_key, 3)
    points, targets = recipe.task.draw(sample_key, points, targets, recipe.num_points)
    points = recipe.augment(augment_key, points)

    def loss(trainable: trees.Tree) -> tuple[Array, tuple[dict[str, Array], trees.Tree]]:
        variables = {
            'params': trees.combine(trainable, frozen),
            'batch_stats': state.batch_stats,
        }
        return recipe.task.loss(recipe.module, variables, points, targets, loss_key)

    (value, (scalars, batch_stats)), gradients = jax.value_and_grad(loss, has_aux=True)(
        state.trainable
    )
    updates, opt_state = recipe.tx.update(gradients, state.opt_state, state.trainable)
    # Packed, the norm is a few sums, not one a vector.
    scalars = {'train_loss': value, **scalars, 'gradient_norm': optax.tree.norm(pack(gradients))}
    # AdamW's updates, decay included, are proportional to the learning rate.
    updates = jax.tree.map(lambda update: rate * update, updates)
    trainable = optax.apply_updates(state.trainable, updates)
    if recipe.momentum is not None:
        share = recipe.momentum(state.step)
        batch_stats = jax.tree.map(
            lambda old, new: old + share * (new - old), state.batch_stats, batch_stats
        )
    return State(state.step + 1, trainable, batch_stats, opt_state), scalars


def step_all(
    recipe: Recipe, who: Crew, state: State, frozen: trees.Tree, points: Array, targets: Targets
) -> tuple[State, dict[str, Array]]:
    """`step` for whoever trains; several with clouds of their own take [K, B, ...], scalars [K]."""
    if not who.several:
        return step(recipe, state, frozen, points, targets, who.keys, who.rates)
    axes = State(None, 0, population.axes(state.batch_stats, who.shared), 0)
    own = 0 if who.own_clouds else None

    def one(state: State, points: Array, targets: Targets, key: jax.Array, rate: Array) -> tuple:
        cloud_key = None if who.own_clouds else who.keys[0]
        return step(recipe, state, frozen, points, targets, key, rate, cloud_key)

    run = jax.vmap(one, in_axes=(axes, own, own, 0, 0), out_axes=(axes, 0))
    return run(state, points, targets, who.keys, who.rates)


def empty_logs(recipe: Recipe, who: Crew, steps: int) -> dict[str, Array]:
    """The scalars of an epoch of `steps` steps before the first, [steps]; of several [steps, K]."""
    shape = (steps, *jnp.shape(who.rates))
    names = ('train_loss', *recipe.task.scalars, 'gradient_norm')
    return {name: jnp.zeros(shape, jnp.float32) for name in names}


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
    recipe: Recipe, who: Crew, state: State, frozen: trees.Tree, split: Split, rows: np.ndarray
) -> float | None:
    """The floating-point operations of one training step on the clouds `rows` of `split`."""
    data = split.points, recipe.task.targets(split)
    batch = jax.tree.map(lambda array: array[rows], data)
    return count_flops(functools.partial(step_all, recipe), who, state, frozen, *batch)


def epoch_order(seed: int, epoch: int, size: int, batch_size: int) -> np.ndarray:
    """[steps, B] int32: a shuffled epoch in whole batches; the rest of the clouds sit it out."""
    order = np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)
    steps = size // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def crew_order(
    runs: Sequence[Member], own_clouds: bool, epoch: int, size: int, batch_size: int
) -> np.ndarray:
    """`epoch_order` of one, or of the first of those that share; [steps, K, B] of several."""
    orders = [epoch_order(member.seed, epoch, size, batch_size) for member in runs]
    return np.stack(orders, axis=1) if own_clouds and len(runs) > 1 else orders[0]
