"""The task of an autoencoder, for `train` and `fit`: its loss, and the Chamfer distance it has."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax import params
from point_ft_jax.layers import Array
from point_ft_jax.pretrain.autoencoder import CONTRAST
from point_ft_jax.pretrain.objective import cloud_errors, losses
from point_ft_jax.split import Split
from point_ft_jax.task import Task, Variables


def reconstruction(projections: tuple[str, ...] = (), chamfer: str = 'chamfer_l2') -> Task:
    """Reconstruction of hidden patches, and a loss for each of the autoencoder's projections.

    A teacher's features are the split's of that name: [S, F], or [S, V, F] for V views or phrasings
    of a shape, one of which is drawn for every step. Evaluation measures the Chamfer distance of
    the hidden patches under a mask that is always the same.
    """

    def targets(split: Split) -> dict[str, np.ndarray]:
        features = {name: split.features[name] for name in projections if name != CONTRAST}
        return {'labels': split.labels, **features}

    def loss(
        module: nn.Module,
        variables: Variables,
        points: Array,
        targets: dict[str, Array],
        key: jax.Array,
    ) -> tuple[Array, tuple[dict[str, Array], params.Tree]]:
        dropout_key, mask_key, view_key = jax.random.split(key, 3)
        found, updates = module.apply(
            variables,
            points,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': dropout_key, 'mask': mask_key},
        )
        drawn = {name: _one_view(view_key, array) for name, array in targets.items()}
        terms = losses(found, drawn, chamfer)
        return sum(terms.values()), (terms, updates['batch_stats'])

    def errors(module: nn.Module, points: Array) -> Array:
        return cloud_errors(module(points), chamfer)

    def measure(outputs: np.ndarray, _: Any) -> dict[str, float]:
        return {'reconstruction': float(outputs.mean())}

    return Task(
        loss=loss,
        scalars=('reconstruction', *projections),
        targets=targets,
        measure=measure,
        rank=lambda measured: [-measured['reconstruction']],
        method=errors,
    )


def _one_view(key: jax.Array, targets: Array) -> Array:
    """[B, V, F] to [B, F], any of the views of each cloud; others as they are."""
    if targets.ndim < 3:
        return targets
    view = jax.random.randint(key, (targets.shape[0], 1, 1), 0, targets.shape[1])
    return jnp.take_along_axis(targets, view, axis=1)[:, 0]
