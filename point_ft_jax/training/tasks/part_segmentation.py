"""The task of part segmentation: every point of a cloud of a known category has a part.

Targets are a dict of 'category' [S], 'part' [S, N], and 'size' [S], how many points of a row are
the cloud's own. A point's answer is the likeliest part of the cloud's category; the loss is over
all parts.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from kernels import gather_points
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Targets, Variables
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.data.sampling import check_points
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference, metrics
from point_ft_jax.evaluation.part_metrics import PartEvaluation, shape_ious
from point_ft_jax.training.losses import auxiliary, cross_entropy
from point_ft_jax.training.tasks.task import Task, Voter

Parts = Sequence[Sequence[int]]  # the part ids of each category

SAMPLINGS = ('subset', 'with_replacement')


def part_segmentation(
    parts: Parts, num_parts: int, sampling: str = 'subset', smoothing: float = 0.0
) -> Task:
    """Cross entropy at every point; epochs are ranked by the mean IoU of all shapes.

    Args:
        parts: the part ids of each category.
        num_parts: P.
        sampling: 'with_replacement' samples points again in every step, and from a fixed seed for
            testing, as the papers do; 'subset' samples without replacement, in testing too.
        smoothing: of the labels.

    Raises:
        UserError: an unknown sampling.
    """
    if sampling not in SAMPLINGS:
        raise UserError(f'sampling is {sampling!r}; expected one of {", ".join(SAMPLINGS)}')
    replacement = sampling == 'with_replacement'

    def loss(
        module: nn.Module, variables: Variables, points: Array, targets: Targets, key: jax.Array
    ) -> tuple[Array, tuple[dict[str, Array], trees.Tree]]:
        logits, updates = module.apply(
            variables,
            points,
            targets['category'],
            train=True,
            mutable=['batch_stats', 'losses'],
            rngs={'dropout': key},
        )
        losses = cross_entropy(logits, targets['part'], smoothing)
        hits = decide(logits, targets['category'], parts) == targets['part']
        value = losses.mean() + auxiliary(updates)
        return value, ({'train_accuracy': hits.mean()}, updates.get('batch_stats', {}))

    def measure(answers: dict[str, np.ndarray], targets: Targets) -> dict[str, float]:
        scores = evaluation(0, record(answers, targets)).scores()
        return {
            'accuracy': scores.pop('point_accuracy'),
            'loss': float(np.mean(answers['loss'])),
            **scores,
        }

    prepared = functools.partial(prepare, replacement=replacement)
    record = functools.partial(_record, parts=parts, num_parts=num_parts)
    evaluation = functools.partial(_evaluation, num_categories=len(parts))
    return Task(
        name='part_segmentation',
        loss=loss,
        scalars=('train_accuracy',),
        targets=targets_of,
        sample=functools.partial(sample, replacement=replacement),
        prepare=prepared,
        answer=functools.partial(_answer, parts=parts),
        measure=measure,
        rank=lambda measured: [measured['instance_miou'], -measured['loss']],
        record=record,
        evaluation=evaluation,
        voter=functools.partial(_voter, parts=parts, prepared=prepared),
        sampling='points drawn with replacement in training and testing' if replacement else '',
    )


def targets_of(split: Split) -> Targets:
    """The targets of a split with part labels."""
    sizes = split.sizes
    if sizes is None:
        sizes = np.full(len(split), split.points.shape[1], np.int32)
    return {'category': split.labels, 'part': split.part_labels, 'size': sizes}


def sample(
    key: jax.Array, points: Array, targets: Targets, num_points: int, replacement: bool
) -> tuple[Array, Targets]:
    """A random [B, num_points, 3] of [B, N, 3] with its targets."""
    batch, available, _ = points.shape
    if replacement:
        share = jax.random.uniform(key, (batch, num_points))
        columns = (share * targets['size'][:, None]).astype(jnp.int32)
    else:
        # One subset for the batch. Its order says where the walk to farthest points starts.
        columns = jax.random.permutation(key, available)[:num_points].astype(jnp.int32)
        columns = jnp.broadcast_to(columns[None], (batch, num_points))
    part = jnp.take_along_axis(targets['part'], columns, axis=1)
    return gather_points(points, columns), {**targets, 'part': part}


def prepare(split: Split, num_points: int, replacement: bool) -> tuple[np.ndarray, Targets]:
    """The points [S, num_points, 3] of a split that are tested, always the same, and targets."""
    targets = targets_of(split)
    size, available = split.points.shape[:2]
    rng = np.random.default_rng(0)
    if replacement:
        columns = (rng.random((size, num_points)) * targets['size'][:, None]).astype(np.int32)
    else:
        check_points(num_points, available)
        columns = np.sort(rng.permutation(available)[:num_points])[None].repeat(size, 0)
    part = np.take_along_axis(targets['part'], columns, 1)
    points = np.take_along_axis(split.points, columns[..., None], 1)
    return points, {**targets, 'part': part}


def decide(logits: Array, category: Array, parts: Parts) -> Array:
    """[B, N] int32: of logits [B, N, P], the likeliest part that the cloud's category has."""
    allowed = np.zeros((len(parts), logits.shape[-1]), bool)
    for row, ids in zip(allowed, parts, strict=True):
        row[list(ids)] = True
    mask = jnp.asarray(allowed)[category][:, None]
    return jnp.argmax(jnp.where(mask, logits, -jnp.inf), axis=-1).astype(jnp.int32)


def _voter(
    module: nn.Module,
    mesh: Mesh,
    batch_size: int,
    augment: Augmentation,
    votes: int,
    parts: Parts,
    prepared: Callable[[Split, int], tuple[np.ndarray, Targets]],
) -> Voter:
    """See `Task.voter`: the mean of log-softmax over augmented passes over the same points.

    Only these points have labels. Loss and part are computed of the mean.
    """

    def answers(
        variables: Variables, split: Split, num_points: int, key: jax.Array
    ) -> dict[str, np.ndarray]:
        def answer(variables: Variables, points: Array, targets: Targets) -> dict[str, Array]:
            def add(number: Array, total: Array) -> Array:
                augmented = augment(jax.random.fold_in(key, number), points)
                logits = module.apply(variables, augmented, targets['category'])
                return total + jax.nn.log_softmax(logits)

            total = jnp.zeros((*points.shape[:2], module.head.num_parts))
            return _answers(jax.lax.fori_loop(0, votes, add, total) / votes, targets, parts)

        run = inference.in_batches(answer, mesh, batch_size)
        return run(variables, *prepared(split, num_points))

    return answers


def _answer(
    module: nn.Module, variables: Variables, points: Array, targets: Targets, parts: Parts
) -> dict[str, Array]:
    """'part' [B, N] and 'loss' [B]: all that is kept of logits for every point."""
    return _answers(module.apply(variables, points, targets['category']), targets, parts)


def _answers(logits: Array, targets: Targets, parts: Parts) -> dict[str, Array]:
    losses = cross_entropy(logits, targets['part']).mean(axis=-1)
    return {'part': decide(logits, targets['category'], parts), 'loss': losses}


def _record(
    answers: dict[str, np.ndarray], targets: Targets, parts: Parts, num_parts: int
) -> dict[str, list]:
    ious = shape_ious(targets['part'], answers['part'], targets['category'], parts)
    confusion = metrics.confusion_matrix(targets['part'], answers['part'], num_parts)
    return {
        'ious': ious.tolist(),
        'categories': np.asarray(targets['category']).tolist(),
        'confusion': confusion.tolist(),
    }


def _evaluation(epoch: int, record: dict[str, list], num_categories: int) -> PartEvaluation:
    return PartEvaluation(
        epoch,
        ious=np.array(record['ious']),
        categories=np.array(record['categories'], int),
        num_categories=num_categories,
        confusion=np.array(record['confusion']),
    )
