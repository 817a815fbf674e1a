"""Reconstruction by an autoencoder: its losses, and the Chamfer distance of hidden patches."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Targets, Variables
from point_ft_jax.data.sampling import SAMPLES
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.models.autoencoders.reconstruction import CHAMFER, Reconstruction
from point_ft_jax.training.tasks.task import Task

CONTRAST_BY = ('class', 'cloud')
TEMPERATURE = 0.1  # of the contrastive loss


def reconstruction(
    projections: tuple[str, ...] = (),
    chamfer: str = 'chamfer_l2',
    sample: str = 'farthest',
    auxiliary: tuple[str, ...] = (),
    contrast_by: str = 'class',
) -> Task:
    """Reconstruction of hidden patches, and a loss for each of the autoencoder's projections.

    A teacher's features are the split's of that name: [S, F], or [S, V, F] for V views or phrasings
    of a shape, one of which is sampled for every step. Evaluation measures the Chamfer distance of
    the hidden patches under a mask that is always the same.

    Args:
        projections: the autoencoder's, by name.
        chamfer: a name of `reconstruction.CHAMFER`.
        sample: how a step samples points, a name of `sampling.SAMPLES`.
        auxiliary: the autoencoder's own terms of the loss, by name.
        contrast_by: what contrast holds together, one of CONTRAST_BY: the clouds of a 'class', by
            the labels; or two views of one 'cloud', without labels (as SimCLR, Chen et al., ICML
            2020), so that a step has two samples of every cloud, each augmented for itself.

    Raises:
        UserError: an unknown name.
    """
    for option, value, choices in (
        ('chamfer', chamfer, CHAMFER),
        ('sample', sample, SAMPLES),
        ('contrast_by', contrast_by, CONTRAST_BY),
    ):
        if value not in choices:
            raise UserError(f'pretrain.{option} is {value!r}; expected {" or ".join(choices)}')

    def targets(split: Split) -> dict[str, np.ndarray]:
        features = {name: split.features.get(name) for name in projections if name != CONTRAST}
        known = {name: array for name, array in features.items() if array is not None}
        return {'labels': split.labels, **known}

    def loss(
        module: nn.Module,
        variables: Variables,
        points: Array,
        targets: dict[str, Array],
        key: jax.Array,
    ) -> tuple[Array, tuple[dict[str, Array], trees.Tree]]:
        dropout_key, mask_key = jax.random.split(key)
        outputs, updates = module.apply(
            variables,
            points,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': dropout_key, 'mask': mask_key},
        )
        terms = losses(outputs, targets, chamfer)
        return sum(terms.values()), (terms, updates['batch_stats'])

    def sample_points(key: jax.Array, points: Array, targets: Targets, number: int) -> tuple:
        sample_key, view_key = jax.random.split(key)
        if contrast_by == 'cloud' and CONTRAST in projections:
            points, targets = _twice(points), {name: _twice(a) for name, a in targets.items()}
            targets['labels'] = jnp.arange(len(points)) % (len(points) // 2)
        views = {name: _one_view(view_key, array) for name, array in targets.items()}
        return SAMPLES[sample](sample_key, points, number), views

    def errors(module: nn.Module, variables: Variables, points: Array, _: Targets) -> Array:
        return cloud_errors(module.apply(variables, points), chamfer)

    return Task(
        name='reconstruction',
        loss=loss,
        scalars=('reconstruction', *projections, *auxiliary),
        targets=targets,
        sample=sample_points,
        prepare=lambda split, number: (inference.prepare(split.points, number), targets(split)),
        answer=errors,
        measure=lambda errors, _: {'reconstruction': float(errors.mean())},
        rank=lambda measured: [-measured['reconstruction']],
        record=lambda errors, _: float(errors.mean()),
        evaluation=lambda epoch, error: (epoch, error),
    )


def _twice(array: Array) -> Array:
    """[B, ...] to [2B, ...]: the batch, and once more."""
    return jnp.concatenate([array, array])


def _one_view(key: jax.Array, targets: Array) -> Array:
    """[B, V, F] to [B, F], any of the views of each cloud; others as they are."""
    if targets.ndim < 3:
        return targets
    view = jax.random.randint(key, (targets.shape[0], 1, 1), 0, targets.shape[1])
    return jnp.take_along_axis(targets, view, axis=1)[:, 0]


def losses(
    found: Reconstruction, targets: Mapping[str, Array], chamfer: str = 'chamfer_l2'
) -> dict[str, Array]:
    """The terms of the loss, by name; their sum is what is minimised.

    'reconstruction' is always there; 'image' and 'text' are for the teachers' features in
    `targets`, smooth L1; 'contrast' is for its 'labels'; others are the autoencoder's own.

    Args:
        found: the autoencoder's.
        targets: 'labels' [B], and a teacher's features [B, F] for every teacher of `found`.
        chamfer: a name of `reconstruction.CHAMFER`.
    """
    patches = CHAMFER[chamfer](found.predicted, found.target)
    hidden = found.hidden.astype(patches.dtype)
    terms = {'reconstruction': (patches * hidden).sum() / hidden.sum()}
    for name, projection in found.projections.items():
        if name == CONTRAST:
            terms[name] = contrast(projection, targets['labels']).mean()
        else:
            terms[name] = smooth_l1(projection, targets[name]).mean()
    return {**terms, **found.auxiliary}


def cloud_errors(found: Reconstruction, chamfer: str = 'chamfer_l2') -> Array:
    """[B], the mean Chamfer distance of each cloud's hidden patches."""
    patches = CHAMFER[chamfer](found.predicted, found.target)
    hidden = found.hidden.astype(patches.dtype)
    return (patches * hidden).sum(axis=1) / jnp.maximum(hidden.sum(axis=1), 1)


def smooth_l1(found: Array, target: Array) -> Array:
    """Half the square of a difference up to 1, beyond that its size less a half; elementwise."""
    difference = jnp.abs(found - target)
    return jnp.where(difference < 1, 0.5 * jnp.square(difference), difference - 0.5)


def contrast(projections: Array, labels: Array) -> Array:
    """[B], ReCon's supervised contrastive loss of projections [B, D] with labels [B].

    Among the cosines to a cloud's batch, the mean of those of its own class (itself among them)
    stands, as one, against each of the others.
    """
    unit = projections / jnp.maximum(jnp.linalg.norm(projections, axis=1, keepdims=True), 1e-12)
    cosines = jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)
    same = labels[:, None] == labels[None]
    own = jnp.where(same, cosines, 0).sum(axis=1) / same.sum(axis=1)
    others = jnp.where(same, -jnp.inf, cosines / TEMPERATURE)
    both = jnp.concatenate([own[:, None] / TEMPERATURE, others], axis=1)
    return jax.nn.logsumexp(both, axis=1) - own / TEMPERATURE
