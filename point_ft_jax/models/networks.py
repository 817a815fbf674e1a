"""A classifier: a backbone, the tuner at its seams, and a head."""

import flax.linen as nn
import jax.numpy as jnp

from point_ft_jax.models.classification_head import read_out
from point_ft_jax.models.layers import Array
from point_ft_jax.models.transformer import Tuner


class Classifier(nn.Module):
    """Clouds [B, N, 3] to logits [B, C].

    Its variables are `params` = {'backbone', 'tuner', 'head'} and `batch_stats` in the same shape
    (a part without parameters is absent).

    Attributes:
        backbone: clouds and a tuner to `Tokens`.
        tuner: what the method puts at the backbone's seams.
        head: features to logits.
        readout: the names of the features; see `heads.read_out`.
    """

    backbone: nn.Module
    tuner: Tuner
    head: nn.Module
    readout: tuple[str, ...]

    def __call__(self, points: Array, train: bool = False) -> Array:
        return self.head(self.features(points, train), train)

    def features(self, points: Array, train: bool = False) -> Array:
        """What the head sees, [B, F]."""
        return read_out(self.backbone(points, self.tuner, train), self.readout)

    def blank(self) -> tuple[Array, ...]:
        """The smallest inputs: parameters do not depend on the number of points."""
        return (jnp.zeros((1, self.backbone.fewest_points, 3)),)
