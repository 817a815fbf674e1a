"""The masked autoencoder of Point-MAE (Pang et al., ECCV 2022) and ReCon (Qi et al., ICML 2023).

Most patches of a cloud are hidden. The backbone encodes the visible ones; a small transformer, the
decoder, takes them with a learned token in the place of each hidden patch, and predicts the hidden
points. ReCon also compares its global tokens with the features that frozen teachers have of an
image and of a text of the shape, and with the other clouds of the batch.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import gather_points
from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders import masking
from point_ft_jax.models.autoencoders.decoder import Blocks
from point_ft_jax.models.autoencoders.reconstruction import Reconstruction
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, layer_norm, token_init
from point_ft_jax.models.point_transformer import PointTransformer
from point_ft_jax.models.transformer import broadcast_token, drop_path_rates
from point_ft_jax.models.tuner import Tuner

CONTRAST, CONTRAST_WIDTH = 'contrast', 128
TOKENS = {'image': 'img', 'text': 'text', CONTRAST: 'cls'}  # a projection -> what it is made of


class MaskedAutoencoder(nn.Module):
    """Clouds [B, N, 3] to a `Reconstruction` of their hidden patches.

    Its variables are `params` = {'backbone', 'decoder', 'heads'} and `batch_stats` in the same
    shape (a part without parameters is absent).

    Attributes:
        backbone: what is being pre-trained.
        mask: how patches are hidden, a name of `masking.MASKS`.
        mask_ratio: how many of them.
        decoder_depth, decoder_heads: of the decoder; its width is the backbone's.
        embed_hidden: whether the tokenizer sees the hidden patches too. Nothing but the statistics
            of its batch norms comes of that; it is as published, and more than doubles the cost.
        projections: the width of each projection of a global token, by its name in `TOKENS`.
        dtype: what to compute in; None for the type of the parameters.
    """

    backbone: PointTransformer
    mask: str = 'random'
    mask_ratio: float = 0.6
    decoder_depth: int = 4
    decoder_heads: int = 6
    embed_hidden: bool = True
    projections: Mapping[str, int] | None = None
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.tuner = Tuner()
        self.decoder = Decoder(
            self.decoder_depth,
            self.decoder_heads,
            self.backbone.group_size,
            self.backbone.drop_path,
            self.dtype,
        )
        self.heads = Heads(self.projections or {}, self.dtype)

    def __call__(
        self, points: Array, mask: Array | None = None, train: bool = False
    ) -> Reconstruction:
        """The reconstruction under `mask` [B, G], true = hidden, as many in every cloud.

        Without a mask one is drawn, from the random numbers 'mask' where there are any; where there
        are none, in evaluation, it is always the same.
        """
        grouped = self.backbone.group(points)
        number = masking.number_hidden(self.mask_ratio, self.backbone.num_groups)
        if mask is None:
            mask = masking.MASKS[self.mask](masking.key_for(self), grouped.centers, number)
        keep, hide = masking.split(mask, number)
        seen, unseen = (gather_points(grouped.centers, indices) for indices in (keep, hide))
        shown = take_groups(grouped.groups, keep)
        if self.embed_hidden:
            tokens = self.backbone.encode(
                grouped, self.tuner, train, lambda tokens: tokens.take(keep)
            )
        else:
            some = grouped._replace(groups=shown, centers=seen)
            tokens = self.backbone.encode(some, self.tuner, train)
        by_token = dict(
            zip(self.backbone.global_tokens, jnp.moveaxis(tokens.cls, 1, 0), strict=True)
        )
        return Reconstruction(
            predicted=self.decoder(tokens.patches, seen, unseen, train),
            target=take_groups(grouped.groups, hide),
            centers=unseen,
            hidden=jnp.ones(hide.shape, bool),
            visible=(shown + seen[:, :, None]).reshape(len(points), -1, 3),
            projections=self.heads(by_token, train),
        )


class Decoder(nn.Module):
    """Encoded patches [B, V, D] and centres to the points [B, M, K, 3] of the hidden patches.

    The points are relative to the centres. Where all patches are, is known: to a learned map of the
    centres or, where they are given, by the `positions` [B, V + M, D].
    """

    depth: int
    heads: int
    num_points: int
    drop_path: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        encoded: Array,
        seen: Array,
        unseen: Array,
        train: bool,
        positions: Array | None = None,
    ) -> Array:
        batch, number, width = len(encoded), unseen.shape[1], encoded.shape[-1]
        token = self.param('mask_token', token_init, (1, 1, width))
        hidden = jnp.broadcast_to(broadcast_token(token, encoded), (batch, number, width))
        rates = drop_path_rates(self.drop_path, self.depth)
        blocks = Blocks(self.heads, rates, 128, train, self.dtype, name='blocks')
        decoded = blocks(
            jnp.concatenate([encoded, hidden], axis=1),
            jnp.concatenate([seen, unseen], axis=1),
            positions,
        )
        decoded = layer_norm(self.dtype, name='norm')(decoded[:, -number:])
        points = Linear(3 * self.num_points, dtype=self.dtype, name='points')(decoded)
        return points.reshape(batch, number, self.num_points, 3)


class Heads(nn.Module):
    """Global tokens, {name: [B, D]}, to projections of the widths given, {name: [B, width]}.

    A teacher's is one linear map; the contrastive one has two, each with a batch norm.
    """

    widths: Mapping[str, int]
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, tokens: Mapping[str, Array], train: bool) -> dict[str, Array]:
        found = {}
        for name, width in self.widths.items():
            x = tokens[TOKENS[name]]
            if name == CONTRAST:
                x = Linear(width, dtype=self.dtype, name='contrast_0')(x)
                x = jax.nn.relu(BatchNorm(not train, self.dtype, name='contrast_norm_0')(x))
                x = Linear(width, dtype=self.dtype, name='contrast_1')(x)
                x = BatchNorm(not train, self.dtype, name='contrast_norm_1')(x)
            else:
                init = {'kernel_init': teacher_init, 'bias_init': nn.initializers.zeros}
                x = Linear(width, dtype=self.dtype, **init, name=name)(x)
            found[name] = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return found


def teacher_init(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Normal about 0.02 with deviation 0.01: what the reference's projections start from."""
    return 0.02 + 0.01 * jax.random.normal(key, shape, dtype)


def take_groups(groups: Array, indices: Array) -> Array:
    """The groups [B, M, K, 3] of indices [B, M]."""
    batch, _, size, _ = groups.shape
    return gather_points(groups.reshape(batch, -1, 3 * size), indices).reshape(batch, -1, size, 3)


AUTOENCODER = MaskedAutoencoder
# Tree path to PyTorch name, of what is not the backbone; see `torch_names`.
TORCH_NAMES = {
    'decoder/mask_token': 'mask_token',
    'decoder/blocks/positions/hidden': 'decoder_pos_embed.0',
    'decoder/blocks/positions/out': 'decoder_pos_embed.2',
    'decoder/blocks/block_{block}/norm1': 'MAE_decoder.blocks.{block}.norm1',
    'decoder/blocks/block_{block}/attention/qkv': 'MAE_decoder.blocks.{block}.attn.qkv',
    'decoder/blocks/block_{block}/attention/proj': 'MAE_decoder.blocks.{block}.attn.proj',
    'decoder/blocks/block_{block}/norm2': 'MAE_decoder.blocks.{block}.norm2',
    'decoder/blocks/block_{block}/mlp/fc1': 'MAE_decoder.blocks.{block}.mlp.fc1',
    'decoder/blocks/block_{block}/mlp/fc2': 'MAE_decoder.blocks.{block}.mlp.fc2',
    'decoder/norm': 'MAE_decoder.norm',
    'decoder/points': 'increase_dim.0',
    'heads/image': 'img_proj',
    'heads/text': 'text_proj',
    'heads/contrast_0': 'cls_proj.0',
    'heads/contrast_norm_0': 'cls_proj.1',
    'heads/contrast_1': 'cls_proj.3',
    'heads/contrast_norm_1': 'cls_proj.4',
}
PREFIX = 'MAE_encoder.'  # of the backbone's names
CONV = ('MAE_encoder.encoder.*', 'increase_dim.*')
UNDECAYED = ('decoder/mask_token',)  # what has 'token' in its PyTorch name
