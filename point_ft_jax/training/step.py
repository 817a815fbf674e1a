"""The training step: from a state and a batch to the next state and the batch's scalars.

Trees are in halves (see `trees.partition`): gradients, optimizer state and updates exist for the
trainable half only, and the frozen half is a constant argument. Several members can therefore train
at once, through `vmap`, over one frozen half; see `population`.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.models.layers import Dtype
from point_ft_jax.training.optimizer import pack
from point_ft_jax.training.schedules import Schedule
from point_ft_jax.training.tasks.classification import classification
from point_ft_jax.training.tasks.task import Task


@struct.dataclass
class Averaged:
    """An optimizer's state beside the moving average of the trainable half."""

    opt_state: optax.OptState
    average: trees.Tree


@struct.dataclass
class State:
    """Everything that a training step changes.

    Of K members, every leaf but `step` and the statistics that they share has a leading axis K.

    Attributes:
        step: [] int32, the steps taken.
        trainable: the trainable half of the parameters.
        batch_stats: the running statistics.
        opt_state: the optimizer's state for the trainable half; where the recipe keeps a moving
            average, `Averaged`.
    """

    step: Array
    trainable: trees.Tree
    batch_stats: trees.Tree
    opt_state: optax.OptState | Averaged

    @property
    def weights(self) -> trees.Tree:
        """The trainable half that is evaluated and kept: the average, if there is one."""
        own = self.opt_state
        return own.average if isinstance(own, Averaged) else self.trainable


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything a training step needs except its state and its batch.

    Attributes:
        module: the model.
        tx: the optimizer for the trainable half.
        schedule: the learning rate of every step, the same as in `tx`.
        num_points: the points of a cloud that the model is given.
        augment: the augmentation of the clouds.
        mesh: the devices.
        task: the loss and the sampling of points; see `Task`.
        momentum: of every step, the factor (0 to 1) on the change of the running statistics;
            None for 1.
        ema: the decay (0 to 1) of a moving average of the weights, which is evaluated and kept in
            their place; 0 for none. See `averaged`.
        frozen_dtype: what the kernels of the frozen half are stored in while the rest trains; None
            for their own type. See `stored`.
    """

    module: nn.Module
    tx: optax.GradientTransformation
    schedule: Schedule
    num_points: int
    augment: Augmentation
    mesh: Mesh
    task: Task = dataclasses.field(default_factory=classification)
    momentum: Schedule | None = None
    ema: float = 0.0
    frozen_dtype: Dtype | None = None


def start(recipe: Recipe, trainable: trees.Tree, batch_stats: trees.Tree) -> State:
    """The state of one member before the first step, in copies, since steps donate their state."""
    trainable, batch_stats = jax.tree.map(jnp.copy, (trainable, batch_stats))
    opt_state = first_opt_state(recipe, trainable)
    return State(jnp.zeros((), jnp.int32), trainable, batch_stats, opt_state)


def stored(recipe: Recipe, frozen: trees.Tree) -> trees.Tree:
    """The frozen half, arrays or shapes, as it is stored: its kernels in `recipe.frozen_dtype`.

    A model that computes in bfloat16 rounds kernels so anyway, and gives the same numbers; norms,
    biases and tokens, which are small, keep their type.
    """
    dtype = recipe.frozen_dtype
    if dtype is None:
        return frozen

    def one(path: str, leaf: Any) -> Any:
        if not path.endswith('/kernel'):
            return leaf
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape, dtype)
        return leaf.astype(dtype)

    return trees.map_paths(one, frozen)


def first_opt_state(recipe: Recipe, trainable: trees.Tree) -> optax.OptState | Averaged:
    """The optimizer's state before the first step; the average is a copy of the weights."""
    opt_state = recipe.tx.init(trainable)
    return Averaged(opt_state, jax.tree.map(jnp.copy, trainable)) if recipe.ema else opt_state


def averaged(recipe: Recipe, state: State, opt_state: optax.OptState, trainable: trees.Tree) -> Any:
    """The new optimizer's state, beside the new moving average if the recipe keeps one.

    The average after step t = 0, 1, … is d average + (1 - d) weights, d = min(ema, (1 + t) /
    (10 + t)), so that the start, which is no result of training, soon counts for little.
    """
    if not isinstance(state.opt_state, Averaged):
        return opt_state
    decay = jnp.minimum(recipe.ema, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(trainable, state.opt_state.average, 1 - decay)
    return Averaged(opt_state, average)


def gradients(
    recipe: Recipe,
    state: State,
    frozen: trees.Tree,
    points: Array,
    targets: Targets,
    key: jax.Array,
    cloud_key: jax.Array | None = None,
) -> tuple[Array, dict[str, Array], trees.Tree, trees.Tree]:
    """A step's loss, the task's scalars, the statistics after it, and the gradients; see `step`."""
    sample_key, augment_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
    if cloud_key is not None:
        cloud_key = jax.random.fold_in(cloud_key, state.step)
        sample_key, augment_key, _ = jax.random.split(cloud_key, 3)
    points, targets = recipe.task.sample(sample_key, points, targets, recipe.num_points)
    points = recipe.augment(augment_key, points)

    def loss(trainable: trees.Tree) -> tuple[Array, tuple[dict[str, Array], trees.Tree]]:
        variables = {
            'params': trees.combine(trainable, frozen),
            'batch_stats': state.batch_stats,
        }
        return recipe.task.loss(recipe.module, variables, points, targets, loss_key)

    (value, (scalars, batch_stats)), found = jax.value_and_grad(loss, has_aux=True)(state.trainable)
    return value, scalars, batch_stats, found


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
    """One optimizer step of one member on clouds [B, N, 3] and their targets.

    Args:
        recipe, state: see there.
        frozen: the half of the parameters that does not train.
        points: [B, N, 3].
        targets: of the clouds; see `Task.targets`.
        key: of every random number in the step, together with the number of the step.
        rate: the factor on the recipe's learning rate.
        cloud_key: in the place of `key` for sampling and augmenting the clouds.

    Returns:
        The new state and the batch's scalars: 'train_loss', the task's, and 'gradient_norm' of the
        trainable half before clipping.
    """
    value, scalars, batch_stats, found = gradients(
        recipe, state, frozen, points, targets, key, cloud_key
    )
    before = state.opt_state
    before = before.opt_state if isinstance(before, Averaged) else before
    updates, opt_state = recipe.tx.update(found, before, state.trainable)
    # Packed, the norm is a few sums, not one a vector.
    scalars = {'train_loss': value, **scalars, 'gradient_norm': optax.tree.norm(pack(found))}
    # AdamW's updates, decay included, are proportional to the learning rate.
    updates = jax.tree.map(lambda update: rate * update, updates)
    trainable = optax.apply_updates(state.trainable, updates)
    if recipe.momentum is not None:
        factor = recipe.momentum(state.step)
        batch_stats = jax.tree.map(
            lambda old, new: old + factor * (new - old), state.batch_stats, batch_stats
        )
    opt_state = averaged(recipe, state, opt_state, trainable)
    return State(state.step + 1, trainable, batch_stats, opt_state), scalars
