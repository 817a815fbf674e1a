"""Several models that share one frozen backbone, trained side by side in one program.

What differs between the members is stacked along a leading axis of length K. What they share is
stored once, and so is everything that is computed from it alone.
"""

import dataclasses
import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from point_ft_jax.core import trees
from point_ft_jax.core.devices import everywhere
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.training.step import Recipe, State, first_opt_state, start, step, stored


@dataclasses.dataclass(frozen=True)
class Member:
    """What differs between two runs of the same recipe.

    Attributes:
        seed: of the order of the clouds and of every random number in a step.
        rate: its learning rate, as a multiple of the recipe's.
    """

    seed: int = 0
    rate: float = 1.0


@struct.dataclass
class Population:
    """The models that train together: one, or K members that share the frozen half.

    Attributes:
        keys: [] or [K] random keys.
        rates: [] or [K], multiples of the recipe's learning rate.
        members: the one, or the K members.
        shared: the parts of the statistics that the members share, since nothing changes them.
        own_clouds: whether each member has its own order of clouds and its own augmentations.
            Otherwise all use those of the first member, and the activations of the frozen backbone
            before the first tuned layer are computed once for all.
    """

    keys: jax.Array
    rates: Array
    members: tuple[Member, ...] = struct.field(pytree_node=False)
    shared: tuple[str, ...] = struct.field(pytree_node=False, default=())
    own_clouds: bool = struct.field(pytree_node=False, default=True)

    @classmethod
    def of_one(cls, member: Member | None = None) -> 'Population':
        """A population of one; its trees and batches have no axis of members."""
        member = member or Member()
        return cls(jax.random.key(member.seed), jnp.float32(member.rate), (member,))

    @classmethod
    def of(
        cls, members: Sequence[Member], module: nn.Module, own_clouds: bool = True
    ) -> 'Population':
        """A population of one or more members that train copies of `module`."""
        if len(members) == 1:
            return cls.of_one(members[0])
        keys = jnp.stack([jax.random.key(member.seed) for member in members])
        rates = jnp.float32([member.rate for member in members])
        shared = ('backbone',) if module.backbone.hold_statistics else ()
        return cls(keys, rates, tuple(members), shared, own_clouds)

    @property
    def several(self) -> bool:
        """Whether trees and batches have an axis of members."""
        return len(self.members) > 1

    def epoch_order(self, epoch: int, size: int, batch_size: int) -> np.ndarray:
        """The clouds of every batch of an epoch, see `epoch_order`.

        [steps, B] of one member or of members that share their clouds; [steps, K, B] otherwise.
        """
        orders = [epoch_order(member.seed, epoch, size, batch_size) for member in self.members]
        return np.stack(orders, axis=1) if self.own_clouds and self.several else orders[0]

    def member_variables(
        self, k: int, trainable: trees.Tree, batch_stats: trees.Tree
    ) -> tuple[trees.Tree, trees.Tree]:
        """The trainable half and the statistics of the k-th member, without an axis of members."""
        if not self.several:
            return trainable, batch_stats
        return trees.pick(trainable, k), trees.pick(batch_stats, k, self.shared)


def epoch_order(seed: int, epoch: int, size: int, batch_size: int) -> np.ndarray:
    """[steps, B] int32: a shuffled epoch in whole batches; the clouds left over are not used."""
    order = np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)
    steps = size // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


@dataclasses.dataclass(frozen=True)
class Training:
    """Everything that the steps of a training run read or change.

    Attributes:
        recipe: see `step.Recipe`.
        population: the models that train.
        frozen: the half of the parameters that does not train.
        state: see `step.State`.
        logs: the scalars of an epoch's steps by name, [steps] or, of several members, [steps, K].
    """

    recipe: Recipe
    population: Population
    frozen: trees.Tree
    state: State
    logs: dict[str, Array]

    @property
    def steps_done(self) -> int:
        """The steps that were taken since the beginning of training."""
        return int(self.state.step)

    def replace(self, state: State, logs: dict[str, Array]) -> 'Training':
        """The same with another state and other logs."""
        return dataclasses.replace(self, state=state, logs=logs)


def start_training(
    recipe: Recipe,
    population: Population,
    starts: Sequence[dict[str, trees.Tree]],
    trainable: trees.Tree,
    steps: int,
) -> Training:
    """A training run before its first step, on the recipe's devices.

    Args:
        recipe, population: see `Training`.
        starts: 'params' and 'batch_stats' of every member; the frozen half is that of the first.
        trainable: a tree of bools; see `trees.select`.
        steps: of an epoch.
    """
    halves = [trees.partition(one['params'], trainable)[0] for one in starts]
    _, frozen = trees.partition(starts[0]['params'], trainable)
    statistics = [one['batch_stats'] for one in starts]
    if population.several:
        state = _start_several(recipe, population, halves, statistics)
    else:
        state = start(recipe, halves[0], statistics[0])
    logs = empty_logs(recipe, population, steps)
    arrays = stored(recipe, frozen), state, logs
    return Training(recipe, population, *everywhere(recipe.mesh, arrays))


def _start_several(
    recipe: Recipe,
    population: Population,
    halves: Sequence[trees.Tree],
    statistics: Sequence[trees.Tree],
) -> State:
    trainable = trees.stack(halves)
    batch_stats = jax.tree.map(jnp.copy, trees.stack(statistics, population.shared))
    opt_state = jax.vmap(functools.partial(first_opt_state, recipe))(trainable)
    return State(jnp.zeros((), jnp.int32), trainable, batch_stats, opt_state)


def empty_logs(recipe: Recipe, population: Population, steps: int) -> dict[str, Array]:
    """The logs of an epoch of `steps` steps before the first; see `Training`."""
    shape = (steps, *jnp.shape(population.rates))
    names = ('train_loss', *recipe.task.scalars, 'gradient_norm')
    return {name: jnp.zeros(shape, jnp.float32) for name in names}


def step_population(
    recipe: Recipe,
    population: Population,
    state: State,
    frozen: trees.Tree,
    points: Array,
    targets: Targets,
) -> tuple[State, dict[str, Array]]:
    """One training step of every member: the new state and the scalars, [] or [K].

    Points are [B, N, 3], or [K, B, N, 3] of members with clouds of their own; targets likewise.
    """
    if not population.several:
        return step(recipe, state, frozen, points, targets, population.keys, population.rates)
    axes = State(None, 0, trees.axes(state.batch_stats, population.shared), 0)
    batch_axis = 0 if population.own_clouds else None

    def one(state: State, points: Array, targets: Targets, key: jax.Array, rate: Array) -> tuple:
        cloud_key = None if population.own_clouds else population.keys[0]
        return step(recipe, state, frozen, points, targets, key, rate, cloud_key)

    run = jax.vmap(one, in_axes=(axes, batch_axis, batch_axis, 0, 0), out_axes=(axes, 0))
    return run(state, points, targets, population.keys, population.rates)
