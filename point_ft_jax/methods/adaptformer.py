"""AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535): an adapter beside each MLP.

x + mlp(norm(x)) + scale * up(relu(down(x))), the adapter's input being the residual stream after
attention, as in the original. Never released for point clouds. Reconstructed: rank 64 and the
original's scale of 0.1, without its dropout, 863,503 trainable parameters of Point-MAE with 15
classes, the tables' 0.9M. The identity at the start.
"""

import functools

import flax.linen as nn
import jax

from point_ft_jax.methods._modules import Bottleneck
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class AdaptFormerTuner(Tuner):
    """A scaled adapter in parallel to each MLP.

    Attributes:
        rank: of the adapters.
        scale: what their outputs are multiplied by.
    """

    rank: int = 64
    scale: float = 0.1

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        x = block.attend(tokens)
        h = block.normalize(x)
        adapter = functools.partial(Bottleneck, self.rank, jax.nn.relu, block.dtype)
        delta = self.scale * self.own(adapter, block, 'adapter')(x)
        return tokens.with_sequence(block.join(x, h, block.mlp(h)) + delta)


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=AdaptFormerTuner,
    identity_at_start=True,
    identity={'*/up/*': 0.0},
    merge='an adapter is not linear: no weight of the backbone can stand for it',
)
