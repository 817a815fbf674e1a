"""The masked autoencoder of PCP-MAE (Zhang et al., NeurIPS 2024, arXiv 2408.08753).

The centres of the hidden patches are predicted too. The hidden patches go through the backbone's
blocks beside the visible ones, without their positions. A visible patch attends to the visible
ones, a hidden patch to all. Their centres are predicted from the encoded hidden patches; the
decoder gets the predicted positions, and no gradient flows back through these.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import gather_points
from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders import masked, masking
from point_ft_jax.models.autoencoders.masked import Decoder, take_groups
from point_ft_jax.models.autoencoders.reconstruction import Reconstruction
from point_ft_jax.models.layers import Dtype, Linear, layer_norm
from point_ft_jax.models.point_transformer import PointTransformer
from point_ft_jax.models.positions import sinusoid
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import broadcast_token
from point_ft_jax.models.tuner import Tuner


class CenterPredictingAutoencoder(nn.Module):
    """Clouds [B, N, 3] to a `Reconstruction` of their hidden patches, and an error of the centres.

    Its variables are `params` = {'backbone', 'decoder', 'centers'} and `batch_stats` in the same
    shape (a part without parameters is absent).

    Attributes:
        backbone: what is being pre-trained; its positions are `positions.SinusoidPositions`.
        mask: how patches are hidden, a name of `masking.MASKS`.
        mask_ratio: how many of them.
        decoder_depth, decoder_heads: of the decoder; its width is the backbone's.
        center_weight: of the centres' error in the loss.
        dtype: what to compute in; None for the type of the parameters.
    """

    backbone: PointTransformer
    mask: str = 'random'
    mask_ratio: float = 0.6
    decoder_depth: int = 4
    decoder_heads: int = 6
    center_weight: float = 0.1
    dtype: Dtype | None = None

    auxiliary = ('centers',)  # the names of `Reconstruction.auxiliary`

    def setup(self) -> None:
        self.tuner = Tuner()
        self.decoder = Decoder(
            self.decoder_depth,
            self.decoder_heads,
            self.backbone.group_size,
            self.backbone.drop_path,
            self.dtype,
        )
        self.centers = CenterHead(self.backbone.width, self.dtype)

    def __call__(
        self, points: Array, mask: Array | None = None, train: bool = False
    ) -> Reconstruction:
        """The reconstruction under `mask` [B, G], as `MaskedAutoencoder` has it."""
        grouped = self.backbone.group(points)
        number = masking.number_hidden(self.mask_ratio, self.backbone.num_groups)
        if mask is None:
            mask = masking.MASKS[self.mask](masking.key_for(self), grouped.centers, number)
        keep, hide = masking.split(mask, number)
        unknown = self.centers.position()
        encoded = self.backbone.encode(
            grouped, self.tuner, train, lambda tokens: conceal(tokens, mask, unknown)
        ).patches
        visible, hidden = (gather_points(encoded, indices) for indices in (keep, hide))
        seen, unseen = (gather_points(grouped.centers, indices) for indices in (keep, hide))
        codes = self.centers(hidden)
        error = jnp.square(codes.astype(points.dtype) - sinusoid(unseen, self.backbone.width))
        places = self.backbone.positions.embed(jax.lax.stop_gradient(codes))
        positions = jnp.concatenate([self.backbone.positions(seen), places], axis=1)
        return Reconstruction(
            predicted=self.decoder(visible, seen, unseen, train, positions),
            target=take_groups(grouped.groups, hide),
            centers=unseen,
            hidden=jnp.ones(hide.shape, bool),
            visible=(take_groups(grouped.groups, keep) + seen[:, :, None]).reshape(
                len(points), -1, 3
            ),
            auxiliary={'centers': self.center_weight * error.mean()},
        )


def conceal(tokens: Tokens, mask: Array, unknown: Array) -> Tokens:
    """`tokens` with those of `mask` [B, G] at the position `unknown` [1, 1, D].

    They attend to all tokens, the others to those outside the mask only.
    """
    positions = jnp.where(
        mask[..., None], broadcast_token(unknown, tokens.patches), tokens.patch_pos
    )
    return tokens.replace(patch_pos=positions, mask=mask[:, :, None] | ~mask[:, None])


class CenterHead(nn.Module):
    """Hidden patches [B, M, D] to the sinusoids [B, M, D] of their centres: linear, norm, ReLU,
    linear."""

    width: int
    dtype: Dtype | None = None

    def setup(self) -> None:
        shape = (1, 1, self.width)
        self.mask_pos = self.param('mask_pos', nn.initializers.zeros, shape)
        self.hidden = Linear(self.width, dtype=self.dtype)
        self.norm = layer_norm(self.dtype)
        self.out = Linear(self.width, dtype=self.dtype)

    def __call__(self, patches: Array) -> Array:
        return self.out(jax.nn.relu(self.norm(self.hidden(patches))))

    def position(self) -> Array:
        """[1, 1, D], what stands for the position of a hidden patch in the blocks."""
        return self.mask_pos


AUTOENCODER = CenterPredictingAutoencoder
UNDECAYED = ('decoder/mask_token', 'centers/mask_pos')
PREFIX, CONV = masked.PREFIX, masked.CONV
TORCH_NAMES = {
    **{
        path: name
        for path, name in masked.TORCH_NAMES.items()
        if path.startswith('decoder/') and '/positions/' not in path
    },
    'centers/mask_pos': 'MAE_encoder.mask_pos_token',
    'centers/hidden': 'pred_pos_proj.0',
    'centers/norm': 'pred_pos_proj.1',
    'centers/out': 'pred_pos_proj.3',
}
