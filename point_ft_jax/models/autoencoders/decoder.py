"""What the decoders of the autoencoders share: blocks over patches alone."""

from collections.abc import Sequence

import flax.linen as nn

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import Block, Positions
from point_ft_jax.models.tuner import Tuner


class Blocks(nn.Module):
    """Patches [B, G, D] at their centres [B, G, 3] through pre-norm blocks: [B, G, D].

    Where `positions` [B, G, D] are given, no map of the centres is learned.

    Attributes:
        heads: of every block; widths are the patches'.
        drop_paths: the rate of each block; as many as there are blocks.
        hidden: of the positions' linear maps.
        train, dtype: see `transformer.Block`.
    """

    heads: int
    drop_paths: Sequence[float]
    hidden: int
    train: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Array, centers: Array, positions: Array | None = None) -> Array:
        width = patches.shape[-1]
        none = no_prompts(patches)
        if positions is None:
            positions = Positions(width, self.hidden, dtype=self.dtype, name='positions')(centers)
        tokens = Tokens(none, patches, centers, slots=none, patch_pos=positions)
        for index, rate in enumerate(self.drop_paths):
            tokens = Block(
                width=width,
                heads=self.heads,
                tuner=Tuner(),
                index=index,
                drop_path=rate,
                train=self.train,
                dtype=self.dtype,
                name=f'block_{index}',
            )(tokens)
        return tokens.patches
