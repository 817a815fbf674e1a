"""Several models that share one frozen backbone, side by side in one program.

What differs between them is stacked along a leading axis of length K; what does not is there once,
and so is all that is computed from it alone.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.training.step import Recipe, State, step


@dataclasses.dataclass(frozen=True)
class Member:
    """What tells one run from another of the same recipe.

    Attributes:
        seed: of the order of the clouds and of everything random in a step.
        rate: its learning rate, as a multiple of the recipe's.
    """

    seed: int = 0
    rate: float = 1.0


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


def start_all(recipe: Recipe, who: Crew, starts: Sequence[tuple[trees.Tree, trees.Tree]]) -> State:
    """The state of several: `starts` has each member's trainable half and statistics."""
    trainable = trees.stack([moving for moving, _ in starts])
    statistics = trees.stack([stats for _, stats in starts], who.shared)
    statistics = jax.tree.map(jnp.copy, statistics)
    step = jnp.zeros((), jnp.int32)
    return State(step, trainable, statistics, jax.vmap(recipe.tx.init)(trainable))


def step_all(
    recipe: Recipe, who: Crew, state: State, frozen: trees.Tree, points: Array, targets: Targets
) -> tuple[State, dict[str, Array]]:
    """`step` for whoever trains; several with clouds of their own take [K, B, ...], scalars [K]."""
    if not who.several:
        return step(recipe, state, frozen, points, targets, who.keys, who.rates)
    axes = State(None, 0, trees.axes(state.batch_stats, who.shared), 0)
    own = 0 if who.own_clouds else None

    def one(state: State, points: Array, targets: Targets, key: jax.Array, rate: Array) -> tuple:
        cloud_key = None if who.own_clouds else who.keys[0]
        return step(recipe, state, frozen, points, targets, key, rate, cloud_key)

    run = jax.vmap(one, in_axes=(axes, own, own, 0, 0), out_axes=(axes, 0))
    return run(state, points, targets, who.keys, who.rates)
