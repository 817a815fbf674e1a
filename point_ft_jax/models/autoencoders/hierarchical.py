"""The masked autoencoder of Point-M2AE (Zhang et al., NeurIPS 2022, arXiv 2205.14401).

The mask is drawn for the coarsest level and carried down: a finer token is visible if a visible one
is made of it. The decoder goes the other way, from the coarsest level to the one before, whose
hidden neighbourhoods it reconstructs.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders import masking
from point_ft_jax.models.autoencoders.decoder import Blocks
from point_ft_jax.models.autoencoders.masked import TORCH_NAMES as _MASKED
from point_ft_jax.models.autoencoders.masked import Heads
from point_ft_jax.models.autoencoders.reconstruction import Reconstruction
from point_ft_jax.models.hierarchical import HierarchicalTransformer, carry_down
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, gelu, layer_norm, token_init
from point_ft_jax.models.propagation import Interpolated, Joined, three_nearest
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import drop_path_rates
from point_ft_jax.models.tuner import Tuner


class HierarchicalAutoencoder(nn.Module):
    """Clouds [B, N, 3] to a `Reconstruction` of the hidden patches of the last level but one.

    Its variables are `params` = {'backbone', 'decoder'} and `batch_stats` in the same shape. The
    patches predicted have as many points as the first level's, the true ones as the level's own.

    Attributes:
        backbone: what is being pre-trained.
        mask: how patches of the coarsest level are hidden, a name of `masking.MASKS`.
        mask_ratio: how many of them.
        decoder_depths: of the two stages of the decoder, at the width of the level of each.
        decoder_heads: of both.
        projections: the width of each projection, by its name in `masked.TOKENS`. There is no class
            token: in its place stands the mean of the coarsest level's visible tokens. (The
            published pre-training has none.)
        dtype: what to compute in; None for the type of the parameters.
    """

    backbone: HierarchicalTransformer
    mask: str = 'random'
    mask_ratio: float = 0.8
    decoder_depths: tuple[int, int] = (1, 1)
    decoder_heads: int = 6
    projections: Mapping[str, int] | None = None
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.tuner = Tuner()
        self.heads = Heads(self.projections or {}, self.dtype)
        self.decoder = HierarchicalDecoder(
            self.decoder_depths,
            self.decoder_heads,
            self.backbone.group_sizes[0],
            self.backbone.drop_path,
            self.dtype,
        )

    def __call__(
        self, points: Array, mask: Array | None = None, train: bool = False
    ) -> Reconstruction:
        """The reconstruction under `mask` [B, G] of the coarsest level, true = hidden.

        Without a mask one is drawn, from the random numbers 'mask' where there are any; where there
        are none, in evaluation, it is always the same.
        """
        grouped = self.backbone.group(points)
        number = masking.number_hidden(self.mask_ratio, self.backbone.num_groups[-1])
        if mask is None:
            mask = masking.MASKS[self.mask](masking.key_for(self), grouped[-1].centers, number)
        visible = carry_down(~mask, grouped)
        levels = self.backbone.levels(grouped, self.tuner, train, True, visible)
        fine = grouped[-2]
        absolute = fine.groups + fine.centers[:, :, None]
        shown = jnp.where(visible[-2][..., None, None], absolute, jnp.nan)
        return Reconstruction(
            predicted=self.decoder(levels, visible, train),
            target=fine.groups,
            centers=fine.centers,
            hidden=~visible[-2],
            visible=shown.reshape(len(points), -1, 3),
            projections=self.heads({POOLED: _mean_of(levels[-1].patches, visible[-1])}, train),
        )


POOLED = 'cls'  # the token that the mean stands for


def _mean_of(tokens: Array, chosen: Array) -> Array:
    """[B, D], the mean of the chosen [B, G] of tokens [B, G, D]."""
    weights = chosen[..., None].astype(tokens.dtype)
    return (tokens * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1)


class HierarchicalDecoder(nn.Module):
    """The normalised `Tokens` of all levels to the points [B, G, K, 3] of the last level but one.

    Attributes:
        depths: of its two stages, the coarse one first.
        heads: of both.
        num_points: K.
        drop_path: the last block's rate.
    """

    depths: tuple[int, int]
    heads: int
    num_points: int
    drop_path: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, levels: list[Tokens], visible: list[Array], train: bool) -> Array:
        fine, coarse = levels[-2:]
        rates = drop_path_rates(self.drop_path, sum(self.depths))

        def blocks(stage: int, width: int, rates: list[float]) -> Blocks:
            return Blocks(self.heads, rates, width, train, self.dtype, name=f'level_{stage}')

        width = coarse.patches.shape[-1]
        token = self.param('mask_token', token_init, (1, width)).astype(coarse.patches.dtype)
        x = jnp.where(visible[-1][..., None], coarse.patches, token[None])
        x = blocks(0, width, rates[: self.depths[0]])(x, coarse.centers)
        width = fine.patches.shape[-1]
        own = jnp.where(visible[-2][..., None], fine.patches, 0)
        above = Interpolated(x, three_nearest(fine.centers, coarse.centers))
        x = Fusion(width, not train, self.dtype, name='propagation')([own, above])
        x = blocks(1, width, rates[self.depths[0] :])(x, fine.centers)
        x = layer_norm(self.dtype, name='norm')(x)
        points = Linear(3 * self.num_points, dtype=self.dtype, name='points')(x)
        return points.reshape(*points.shape[:2], self.num_points, 3)


class Fusion(nn.Module):
    """Parts side by side, as `Joined` takes them, and a residual unit: [B, G, width]."""

    width: int
    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, parts: Sequence[Array | Interpolated]) -> Array:
        def norm(name: str) -> BatchNorm:
            return BatchNorm(self.use_running, self.dtype, name=name)

        x = gelu(norm('fuse_norm')(Joined(self.width, dtype=self.dtype, name='fuse')(parts)))
        y = Linear(self.width, dtype=self.dtype, name='unit_0')(x)
        y = gelu(norm('unit_0_norm')(y))
        y = Linear(self.width, dtype=self.dtype, name='unit_1')(y)
        return gelu(x + norm('unit_1_norm')(y))


AUTOENCODER = HierarchicalAutoencoder
# Tree path to PyTorch name, of what is not the backbone; see `torch_names`.
BLOCK = 'h_decoder.{level}.blocks.{block}'
UNIT = 'token_prop.0.extraction.operation.0'
TORCH_NAMES = {
    'decoder/mask_token': 'mask_token',
    'decoder/level_{level}/positions/hidden': 'decoder_pos_embeds.{level}.0',
    'decoder/level_{level}/positions/out': 'decoder_pos_embeds.{level}.2',
    'decoder/level_{level}/block_{block}/norm1': f'{BLOCK}.norm1',
    'decoder/level_{level}/block_{block}/attention/qkv': f'{BLOCK}.attn.qkv',
    'decoder/level_{level}/block_{block}/attention/proj': f'{BLOCK}.attn.proj',
    'decoder/level_{level}/block_{block}/norm2': f'{BLOCK}.norm2',
    'decoder/level_{level}/block_{block}/mlp/fc1': f'{BLOCK}.mlp.fc1',
    'decoder/level_{level}/block_{block}/mlp/fc2': f'{BLOCK}.mlp.fc2',
    'decoder/propagation/fuse': 'token_prop.0.fuse.net.0',
    'decoder/propagation/fuse_norm': 'token_prop.0.fuse.net.1',
    'decoder/propagation/unit_0': f'{UNIT}.net1.0',
    'decoder/propagation/unit_0_norm': f'{UNIT}.net1.1',
    'decoder/propagation/unit_1': f'{UNIT}.net2.0',
    'decoder/propagation/unit_1_norm': f'{UNIT}.net2.1',
    'decoder/norm': 'decoder_norm',
    'decoder/points': 'rec_head',
    **{path: name for path, name in _MASKED.items() if path.startswith('heads/contrast')},
}
PREFIX = ''  # of the backbone's names
CONV = ('h_encoder.token_embed.*', 'token_prop.*', 'rec_head.*')
UNDECAYED = ('decoder/mask_token', 'decoder/propagation/*')  # 'token' is in `token_prop`, too
