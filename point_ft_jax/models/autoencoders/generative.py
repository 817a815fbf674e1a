"""The pre-training of PointGPT (Chen et al., NeurIPS 2023, arXiv 2305.11487): the next patch.

The backbone reads a cloud's patches in their order, and its generator says where the points of each
are from what stands before it. Beyond the causal order some places of the sequence are hidden, the
same in every cloud of a batch: only the token that stands there sees them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders import masking
from point_ft_jax.models.autoencoders.reconstruction import Reconstruction
from point_ft_jax.models.causal_transformer import CausalTransformer
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Tuner

ALWAYS_SEEN = 10  # places at the start of the sequence


class GenerativeAutoencoder(nn.Module):
    """Clouds [B, N, 3] to a `Reconstruction` of all their patches, each from those before it.

    Its variables are `params` = {'backbone'}, the generator among it, and `batch_stats` likewise.

    Attributes:
        backbone: what is being pre-trained.
        mask: how places are hidden: 'random'.
        mask_ratio: how many of those behind the first `ALWAYS_SEEN`; the whole part.
        dtype: what to compute in; None for the type of the parameters.
    """

    backbone: CausalTransformer
    mask: str = 'random'
    mask_ratio: float = 0.7
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.tuner = Tuner()

    def __call__(
        self, points: Array, mask: Array | None = None, train: bool = False
    ) -> Reconstruction:
        """The reconstruction under `mask` [G], true = hidden to all tokens but the one there.

        Place 0 is the opening token, place i patch i - 1; the last patch is never read. Without a
        mask one is drawn, from the random numbers 'mask' where there are any; where there are none,
        in evaluation, it is always the same.
        """
        grouped = self.backbone.group(points)
        if mask is None:
            mask = hidden_places(masking.key_for(self), self.backbone.num_groups, self.mask_ratio)
        mask = jnp.asarray(mask)
        shape = (len(points), len(mask), len(mask))
        sees = jnp.broadcast_to(~mask[None] | jnp.eye(len(mask), dtype=bool), shape)
        tokens = self.backbone.encode(
            grouped, self.tuner, train, lambda tokens: conceal(tokens, sees)
        )
        if self.is_initializing():
            self.backbone.make_unread(tokens)
        absolute = grouped.groups + grouped.centers[:, :, None]
        seen = jnp.append(~mask[1:], False)[None, :, None, None]
        return Reconstruction(
            predicted=self.backbone.generate(tokens.sequence(), grouped.centers, sees),
            target=grouped.groups,
            centers=grouped.centers,
            hidden=jnp.ones(grouped.centers.shape[:2], bool),
            visible=jnp.where(seen, absolute, jnp.nan).reshape(len(points), -1, 3),
        )


def hidden_places(key: Array, number: int, ratio: float) -> Array:
    """[number] bool, true for `ratio` of the places behind the first `ALWAYS_SEEN`, any of them."""
    others = max(number - ALWAYS_SEEN, 0)
    hidden = jax.random.permutation(key, jnp.arange(others) < int(ratio * others))
    return jnp.concatenate([jnp.zeros(number - others, bool), hidden])


def conceal(tokens: Tokens, sees: Array) -> Tokens:
    """`tokens` without the last patch; `sees` [B, G, G], which place of the sequence sees which."""
    return tokens.replace(
        patches=tokens.patches[:, :-1],
        centers=tokens.centers[:, :-1],
        patch_pos=tokens.patch_pos[:, :-1],
        mask=sees[:, 1:, 1:],  # the opening token, which the others all see, sees itself alone
    )


AUTOENCODER = GenerativeAutoencoder
PREFIX = 'GPT_Transformer.'  # of the backbone's names; there are no others
CONV = tuple(f'{PREFIX}{name}*' for name in ('encoder.', 'blocks.inc', 'generator_blocks.inc'))
UNDECAYED = ()
TORCH_NAMES = {}
