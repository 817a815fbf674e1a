"""Uni3D's transformer: its class token is mapped to a space of texts and images."""

from collections.abc import Callable

import flax.linen as nn

from kernels import Groups
from point_ft_jax.core.trees import Array
from point_ft_jax.models.eva import EvaBlock, eva_norm
from point_ft_jax.models.layers import Linear, token_init
from point_ft_jax.models.point_transformer import Admit, PointTransformer
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Tuner

PATCH = 14  # pixels along a side of an image's patch


class ImageEnds(nn.Module):
    """Beginning and end of the image model whose blocks these once were: parameters, no function.

    They are here for the published files and counts. Nothing reads them, and no gradient reaches
    them.

    Attributes:
        width: of the blocks.
        length: its positions, those of the patches and one.
        classes: what it classified; 0 for a model that has no such head.
    """

    width: int
    length: int
    classes: int

    @nn.compact
    def __call__(self) -> None:
        self.param('cls_token', token_init, (1, 1, self.width))
        self.param('pos_embed', token_init, (1, self.length, self.width))
        self.param('kernel', token_init, (PATCH, PATCH, 3, self.width))
        self.param('offset', nn.initializers.zeros, (self.width,))
        if self.classes:
            self.param('classes', token_init, (self.classes, self.width))
            self.param('class_offset', nn.initializers.zeros, (self.classes,))


class AlignedTransformer(PointTransformer):
    """Coloured clouds [B, N, 6] to normalised `Tokens`, with a feature 'aligned' [B, E].

    Positions are added once. Colours are in 0..1; a cloud without them gets `fill`.

    Attributes:
        aligned_width: of the space of texts (E).
        image_tokens, image_classes: of the image model; see `ImageEnds`.
    """

    width: int = 768
    heads: int = 12
    num_groups: int = 512
    group_size: int = 64
    tokenizer_width: int | None = 512
    block: Callable[..., nn.Module] = EvaBlock
    input_channels: int = 6
    fill: float | None = 0.4
    aligned_width: int = 1024
    image_tokens: int = 1025
    image_classes: int = 1000

    def setup(self) -> None:
        self.norm = eva_norm(self.dtype)
        self.positions = self.position_map(self.width, dtype=self.dtype)
        self.align = Linear(self.aligned_width, dtype=self.dtype)
        self.image = ImageEnds(self.width, self.image_tokens, self.image_classes)

    def encode(
        self, cloud: Array | Groups, tuner: Tuner, train: bool = False, admit: Admit | None = None
    ) -> Tokens:
        tokens = super().encode(cloud, tuner, train, admit)
        self.image()
        return tokens.replace(features={'aligned': self.align(tokens.cls[:, 0])})

    def enter(self, tokens: Tokens) -> Tokens:
        return tokens.settle()
