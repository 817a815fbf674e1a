"""Classification of whole clouds: cross entropy, accuracy. Answers are logits [S, C]."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.data.sampling import for_training
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference, metrics, voting
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.training.losses import auxiliary, cross_entropy
from point_ft_jax.training.tasks.task import Task, Voter


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """'accuracy' (a fraction) and 'loss' (mean cross entropy) of logits [S, C]."""
    losses = cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    accuracy = np.mean(np.argmax(logits, axis=-1) == labels)
    return {'accuracy': float(accuracy), 'loss': float(losses.mean())}


def confusion(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[C, C] confusion matrix, row = true class."""
    return metrics.confusion_matrix(labels, np.argmax(logits, axis=-1), logits.shape[-1])


def classification(smoothing: float = 0.0, class_weights: Sequence[float] = ()) -> Task:
    """Cross entropy with class labels; epochs are ranked by accuracy.

    Args:
        smoothing: of the labels; see `cross_entropy`.
        class_weights: C numbers, what a cloud of each class counts in the mean of the training
            loss; () for all alike.
    """

    def loss(
        module: nn.Module, variables: Variables, points: Array, labels: Array, key: jax.Array
    ) -> tuple[Array, tuple[dict[str, Array], trees.Tree]]:
        logits, updates = module.apply(
            variables, points, train=True, mutable=['batch_stats', 'losses'], rngs={'dropout': key}
        )
        losses = cross_entropy(logits, labels, smoothing)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == labels)
        mean = losses.mean()
        if class_weights:
            weights = jnp.asarray(class_weights, losses.dtype)[labels]
            mean = (weights * losses).sum() / weights.sum()
        value = mean + auxiliary(updates)
        return value, ({'train_accuracy': accuracy}, updates.get('batch_stats', {}))

    return Task(
        name='classification',
        loss=loss,
        scalars=('train_accuracy',),
        targets=lambda split: split.labels,
        sample=lambda key, points, labels, number: (for_training(key, points, number), labels),
        prepare=lambda split, number: (inference.prepare(split.points, number), split.labels),
        answer=lambda module, variables, points, labels: module.apply(variables, points),
        measure=measure,
        rank=lambda measured: [measured['accuracy'], -measured['loss']],
        record=lambda logits, labels: confusion(logits, labels).tolist(),
        evaluation=lambda epoch, confusion: Evaluation(epoch, np.array(confusion)),
        voter=_voter,
    )


def _voter(
    module: nn.Module, mesh: Mesh, batch_size: int, augment: Augmentation, votes: int
) -> Voter:
    """See `Task.voter`; every pass takes another random subset of the points."""
    predict = inference.make_predict(module, mesh, batch_size)

    def logits(variables: Variables, split: Split, num_points: int, key: jax.Array) -> np.ndarray:
        return voting.vote(predict, variables, split.points, num_points, augment, votes, key)

    return logits
