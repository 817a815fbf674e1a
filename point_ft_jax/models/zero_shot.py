"""Classification by text: a cloud's place in a space of texts against those of class names."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype, unit
from point_ft_jax.models.model import Model

ALIGNED = ('aligned',)  # what a head of texts reads
LOG_SCALE = float(np.log(100))  # where training clips it, and where published models end


class TextHead(nn.Module):
    """Places [B, E] to logits [B, C]: cosines with the class names' places, times exp(log_scale).

    The texts' places `kernel` [E, C] are parameters, so that they may be tuned as any head.
    """

    num_classes: int
    dtype: Dtype | None = None

    conv = ()

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        init = nn.initializers.normal(1.0)
        texts = self.param('kernel', init, (x.shape[-1], self.num_classes))
        log_scale = self.param('log_scale', nn.initializers.constant(LOG_SCALE), ())
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        cosines = unit(x.astype(dtype)) @ unit(texts.astype(dtype), axis=0)
        return jnp.exp(log_scale.astype(dtype)) * cosines

    @property
    def torch_names(self) -> dict[str, str]:
        """The head's tree paths to PyTorch names; no published file has its texts."""
        return {'kernel': 'text_features.weight', 'log_scale': 'logit_scale'}


def by_text(model: Model, num_classes: int) -> Model:
    """`model` with a head of text features for `num_classes` classes in place of its own.

    Raises:
        UserError: its backbone has no space of texts.
    """
    backbone = model.module.backbone
    if not hasattr(backbone, 'aligned_width'):
        raise UserError(
            f'{type(backbone).__name__} has no space of texts; choose one that has, such as uni3d'
        )
    head = TextHead(num_classes, dtype=backbone.dtype)
    return dataclasses.replace(model, module=model.module.clone(head=head, readout=ALIGNED))


def text_head(texts: np.ndarray, log_scale: float | None = None) -> trees.Tree:
    """The parameters of a `TextHead` for text features [C, E]; None for the usual scale."""
    scale = LOG_SCALE if log_scale is None else log_scale
    return {'kernel': np.asarray(texts, np.float32).T, 'log_scale': np.float32(scale)}
