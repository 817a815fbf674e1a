"""The task of an autoencoder, for `train` and `fit`: its loss, and the Chamfer distance it has."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.sampling import SAMPLES
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.models.autoencoders.reconstruction import CHAMFER
from point_ft_jax.models.layers import Array
from point_ft_jax.training.tasks.objective import cloud_errors, losses
from point_ft_jax.training.tasks.task import Targets, Task, Variables


def reconstruction(
    projections: tuple[str, ...] = (), chamfer: str = 'chamfer_l2', sample: str = 'farthest'
) -> Task:
    """Reconstruction of hidden patches, and a loss for each of the autoencoder's projections.

    A teacher's features are the split's of that name: [S, F], or [S, V, F] for V views or phrasings
    of a shape, one of which is drawn for every step. Evaluation measures the Chamfer distance of
    the hidden patches under a mask that is always the same.

    Args:
        projections: the autoencoder's, by name.
        chamfer: a name of `reconstruction.CHAMFER`.
        sample: how a step draws points, a name of `resample.SAMPLES`.

    Raises:
        UserError: an unknown name.
    """
    for option, value, choices in (('chamfer', chamfer, CHAMFER), ('sample', sample, SAMPLES)):
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
        found, updates = module.apply(
            variables,
            points,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': dropout_key, 'mask': mask_key},
        )
        terms = losses(found, targets, chamfer)
        return sum(terms.values()), (terms, updates['batch_stats'])

    def draw(key: jax.Array, points: Array, targets: Targets, number: int) -> tuple:
        sample_key, view_key = jax.random.split(key)
        views = {name: _one_view(view_key, array) for name, array in targets.items()}
        return SAMPLES[sample](sample_key, points, number), views

    def errors(module: nn.Module, variables: Variables, points: Array, _: Targets) -> Array:
        return cloud_errors(module.apply(variables, points), chamfer)

    return Task(
        loss=loss,
        scalars=('reconstruction', *projections),
        targets=targets,
        draw=draw,
        prepare=lambda split, number: (inference.prepare(split.points, number), targets(split)),
        answer=errors,
        measure=lambda errors, _: {'reconstruction': float(errors.mean())},
        rank=lambda measured: [-measured['reconstruction']],
        record=lambda errors, _: float(errors.mean()),
        evaluation=lambda epoch, error: (epoch, error),
    )


def _one_view(key: jax.Array, targets: Array) -> Array:
    """[B, V, F] to [B, F], any of the views of each cloud; others as they are."""
    if targets.ndim < 3:
        return targets
    view = jax.random.randint(key, (targets.shape[0], 1, 1), 0, targets.shape[1])
    return jnp.take_along_axis(targets, view, axis=1)[:, 0]
