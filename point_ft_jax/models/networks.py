"""Classifier and part segmenter: a backbone, the tuner at its seams, and a head."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.channels import PLACE
from point_ft_jax.models.readout import read_out, read_stages
from point_ft_jax.models.tuner import Tuner


class Classifier(nn.Module):
    """Clouds [B, N, 3 + F] to logits [B, C].

    Its variables are `params` = {'backbone', 'tuner', 'head'} and `batch_stats` in the same shape
    (a part without parameters is absent).

    Attributes:
        backbone: clouds and a tuner to `Tokens`.
        tuner: what the method puts at the backbone's seams.
        head: features to logits.
        readout: the names of the features; see `readout.read_out`.
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
        return (_blank_cloud(self.backbone, self.tuner),)


class Segmenter(nn.Module):
    """Clouds [B, N, 3 + F] and their categories [B] to logits of parts [B, N, P].

    Its variables have the structure of a `Classifier`'s. The backbone's tree is the same, except
    what the published segmenters leave out (`backbone.Segmentation.geometry`) or add.

    Attributes:
        backbone, tuner: as a classifier's.
        head: stages to logits; see `part_heads`.
        readout: what the head reads of the whole cloud; see `readout.read_stages`.
        num_categories: C.
    """

    backbone: nn.Module
    tuner: Tuner
    head: nn.Module
    readout: tuple[str, ...]
    num_categories: int

    def __call__(self, points: Array, categories: Array, train: bool = False) -> Array:
        stages = self.backbone.stages(points, self.tuner, train)
        category = jax.nn.one_hot(categories, self.num_categories, dtype=points.dtype)
        return self.head(
            points[..., :PLACE], stages, read_stages(stages, self.readout), category, train
        )

    def blank(self) -> tuple[Array, ...]:
        """The smallest inputs: parameters do not depend on the number of points."""
        return _blank_cloud(self.backbone, self.tuner), jnp.zeros(1, jnp.int32)


def _blank_cloud(backbone: nn.Module, tuner: Tuner) -> Array:
    """The smallest clouds that both take, one of them."""
    size = max(backbone.fewest_points, tuner.fewest_points)
    return jnp.zeros((1, size, backbone.input_channels))
