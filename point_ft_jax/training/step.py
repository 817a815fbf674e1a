"""The training step, and the loop over steps that runs on the device.

Trees come in halves (see `params`): gradients, optimizer state and updates exist for the trainable
half only, and the frozen half is an argument that nothing changes. That is why many members can
train at once: `Crew` says who, and the same step runs for one or, through `vmap`, for all of them.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Targets
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.training.optimizer import pack
from point_ft_jax.training.schedules import Schedule
from point_ft_jax.training.tasks.classification import classification
from point_ft_jax.training.tasks.task import Task


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


def start(recipe: Recipe, trainable: trees.Tree, batch_stats: trees.Tree) -> State:
    """The state of one before the first step; copies, since steps donate what they are given."""
    trainable, batch_stats = jax.tree.map(jnp.copy, (trainable, batch_stats))
    return State(jnp.zeros((), jnp.int32), trainable, batch_stats, recipe.tx.init(trainable))


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
