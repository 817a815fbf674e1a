"""Adapters in series (Houlsby et al., ICML 2019, arXiv 1902.00751): one after each half of a block.

h + up(gelu(down(h))) on the output of the attention's projection and of the MLP, before the
residual sum. Never released for point clouds. Reconstructed: rank 32 without a norm of its own,
868,111 trainable parameters of Point-MAE with 15 classes, the tables' 0.9M. The identity at the
start.
"""

import functools

import flax.linen as nn

from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import Bottleneck
from point_ft_jax.models.layers import gelu
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class AdapterTuner(Tuner):
    """An adapter after each of a block's two halves.

    Attributes:
        rank: of the adapters.
    """

    rank: int = 32

    def layer(self, module: nn.Module, x: Array) -> Array:
        h = module(x)
        if module.name not in ('proj', 'fc2'):
            return h
        return h + self.own(functools.partial(Bottleneck, self.rank, gelu, module.dtype), module)(h)


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=AdapterTuner,
    identity_at_start=True,
    identity={'*/up/*': 0.0},
    merge='an adapter is not linear: no weight of the backbone can stand for it',
)
