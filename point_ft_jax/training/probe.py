"""Training of heads on fixed features, which takes seconds.

The training step is that of `step` for the head alone: the same order of clouds, the same
optimizer, the same dropout. The result equals probing through the frozen backbone if its input is
the same at every step: no augmentation, and no resampling of larger clouds.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options
from point_ft_jax.core.errors import UserError, some
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.evaluation import inference
from point_ft_jax.training import population
from point_ft_jax.training.losses import cross_entropy


def train_heads(
    head: nn.Module,
    start: Variables,
    features: np.ndarray,
    labels: np.ndarray,
    tx: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    smoothing: float = 0.0,
) -> Variables:
    """The trained heads, each on its own features, in one program (`vmap`).

    Args:
        head: the module, as `classification_head.ClassificationHead`.
        start: the head's own 'params' and 'batch_stats', leaves [A, ...].
        features: [A, S, F].
        labels: [S].
        tx: the optimizer.
        epochs, batch_size, seed: as in training; fewer clouds than a batch are one batch.
        smoothing: of the labels.

    Returns:
        The variables after the last step, leaves [A, ...].

    Raises:
        UserError: heads that are not finite.
    """
    batch_size = min(batch_size, len(labels))
    order = jnp.concatenate(
        [population.epoch_order(seed, epoch, len(labels), batch_size) for epoch in range(epochs)]
    )

    def one(start: Variables, features: Array) -> Variables:
        def body(carry: tuple, rows: Array) -> tuple[tuple, None]:
            return _step(head, tx, carry, features[rows], labels[rows], smoothing, key), None

        carry = (jnp.int32(0), start['params'], start['batch_stats'], tx.init(start['params']))
        (_, weights, statistics, _), _ = jax.lax.scan(body, carry, order)
        return {'params': weights, 'batch_stats': statistics}

    key, labels = jax.random.key(seed), jnp.asarray(labels)
    run = jax.jit(jax.vmap(one), compiler_options=compiler_options())
    heads = jax.tree.map(np.asarray, run(start, jnp.asarray(features)))
    if paths := trees.nonfinite(heads):
        raise UserError(
            f'the heads that were trained on features are not finite ({some(paths, 3)}): lower '
            'their learning rate'
        )
    return heads


def _step(
    head: nn.Module,
    tx: optax.GradientTransformation,
    carry: tuple,
    x: Array,
    labels: Array,
    smoothing: float,
    key: jax.Array,
) -> tuple:
    step, weights, statistics, opt_state = carry
    dropout_key = jax.random.split(jax.random.fold_in(key, step), 3)[2]

    def loss(weights: trees.Tree) -> tuple[Array, trees.Tree]:
        logits, updates = head.apply(
            {'params': weights, 'batch_stats': statistics},
            x,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': dropout_key},
        )
        return cross_entropy(logits, labels, smoothing).mean(), updates.get('batch_stats', {})

    gradients, statistics = jax.grad(loss, has_aux=True)(weights)
    updates, opt_state = tx.update(gradients, opt_state, weights)
    return step + 1, optax.apply_updates(weights, updates), statistics, opt_state


def head_logits(head: nn.Module, variables: Variables, features: np.ndarray) -> np.ndarray:
    """The logits [A, S, C] of heads [A, ...] on features [A, S, F].

    Raises:
        UserError: logits that are not finite.
    """
    found = np.asarray(_logits(head)(variables, jnp.asarray(features)))
    if said := inference.problem(found, axis=1):
        raise UserError(said)
    return found


@functools.cache
def _logits(head: nn.Module) -> Callable:
    return jax.jit(jax.vmap(head.apply), compiler_options=compiler_options())
