"""Point-FEMAE's block: Point-MAE's, and after it a convolution along edges between near patches.

The edges are those of the patches' *centres*, not of their features: they are the same in every
block of a cloud, and found once.
"""

import flax.linen as nn
import jax

from kernels import knn
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import (
    KERNEL_INIT,
    BatchNorm,
    Dtype,
    Linear,
    edge_products,
    layer_norm,
    leaky,
    max_pool,
)
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import Block

MEMO = 'nearest_centers'


class LocalEnhancement(nn.Module):
    """Patches [B, G, D] to their update [B, G, D], from those at `indices` [B, G, K] int32.

    Edges [t_j - t_i, t_i] through linear, batch norm, leaky ReLU; the maximum over j; linear, batch
    norm, leaky ReLU. The linear maps have no bias.
    """

    hidden: int
    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Array, indices: Array) -> Array:
        width = patches.shape[-1]
        kernel = self.param('kernel', KERNEL_INIT, (2 * width, self.hidden)).astype(patches.dtype)
        edges = edge_products(kernel, patches, patches, indices)
        norm = BatchNorm(self.use_running, self.dtype, name='edge_norm')
        x = max_pool(leaky(norm(edges)))
        x = Linear(width, use_bias=False, dtype=self.dtype, name='mix')(x)
        return leaky(BatchNorm(self.use_running, self.dtype, name='mix_norm')(x))


class LocalBlock(Block):
    """A pre-norm block, then t + enhancement(norm(t)) on the patches.

    Global tokens and prompts have no place in space: the enhancement passes them by. It comes after
    what a tuner makes of the block, and is frozen with it.

    Attributes:
        neighbors: centres that a patch has edges to, itself included (K); all if there are fewer.
        reduction: the width over that of the edges' features (the published weights' is 1).
    """

    neighbors: int = 20
    reduction: int = 1

    def setup(self) -> None:
        super().setup()
        self.norm_local = layer_norm(self.dtype)
        self.local = LocalEnhancement(
            self.width // self.reduction,
            use_running=self.hold_statistics or not self.train,
            dtype=self.dtype,
        )

    def finish(self, tokens: Tokens) -> Tokens:
        """The tokens with their patches enhanced."""
        tokens = self._with_neighbors(tokens)
        h = self.tuner.layer(self.norm_local, tokens.patches)
        update = self.local(h, tokens.memo[MEMO])
        return tokens.replace(patches=tokens.patches + self.drop(update))

    def _with_neighbors(self, tokens: Tokens) -> Tokens:
        if MEMO in tokens.memo:
            return tokens
        centers = jax.lax.stop_gradient(tokens.centers)
        _, indices = knn(centers, centers, min(self.neighbors, centers.shape[1]))
        return tokens.replace(memo={**tokens.memo, MEMO: indices})
