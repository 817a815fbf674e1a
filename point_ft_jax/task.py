"""What a module is trained for: the loss of a step, and what evaluation measures."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax import evaluate, params
from point_ft_jax.layers import Array
from point_ft_jax.losses import cross_entropy
from point_ft_jax.split import Split

Variables = dict[str, params.Tree]


@dataclasses.dataclass(frozen=True)
class Task:
    """What `train` and `fit` need to know of it.

    Attributes:
        loss: (module, variables, points [B, N, 3], targets [B, ...], key) to the loss [], the
            scalars named in `scalars`, and the statistics after the pass. The dropout of a step
            is drawn from `key`, and whatever else is random in it.
        scalars: what a step logs beside 'train_loss' and 'gradient_norm'.
        targets: the arrays [S, ...] of a split that the loss is told: one, or a tree of them.
        method: what evaluation calls, with points alone: a method of the module by its name, or a
            function of module and points; None for the module's call.
        measure: (outputs, targets) of a split, on the host, to scalars.
        rank: a split's scalars to what epochs are compared by; the first entry counts most.
        confusion: (outputs, targets) to the test split's confusion matrix, for the report; None
            where there are no classes.
    """

    loss: Callable[..., tuple[Array, tuple[dict[str, Array], params.Tree]]]
    scalars: tuple[str, ...]
    targets: Callable[[Split], Any]
    measure: Callable[[np.ndarray, Any], dict[str, float]]
    rank: Callable[[dict[str, float]], list[float]]
    method: str | Callable[..., Array] | None = None
    confusion: Callable[[np.ndarray, Any], np.ndarray] | None = None


def classification(smoothing: float = 0.0) -> Task:
    """Cross entropy of logits with class labels, `smoothing` of those; judged by accuracy."""

    def loss(
        module: nn.Module, variables: Variables, points: Array, labels: Array, key: jax.Array
    ) -> tuple[Array, tuple[dict[str, Array], params.Tree]]:
        logits, updates = module.apply(
            variables, points, train=True, mutable=['batch_stats'], rngs={'dropout': key}
        )
        losses = cross_entropy(logits, labels, smoothing)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == labels)
        return losses.mean(), ({'train_accuracy': accuracy}, updates.get('batch_stats', {}))

    return Task(
        loss=loss,
        scalars=('train_accuracy',),
        targets=lambda split: split.labels,
        measure=evaluate.measure,
        rank=lambda measured: [measured['accuracy'], -measured['loss']],
        confusion=evaluate.confusion,
    )
