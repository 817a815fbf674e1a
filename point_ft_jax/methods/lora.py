"""LoRA (Hu et al., ICLR 2022, arXiv 2106.09685): a low-rank product beside chosen linear maps.

W x + (alpha / rank) up(down(x)), with `down` uniform as any linear map and `up` zero at the start.
Never released for point clouds. Reconstructed: rank 32 on the fused qkv, with one `down` for the
three (separate products on q and v have the same count), 858,127 trainable parameters of Point-MAE
with 15 classes, the tables' 0.9M; alpha, of which the papers say nothing, equals the rank.
"""

import functools

import flax.linen as nn
import numpy as np

from point_ft_jax.core.trees import Array, Tree
from point_ft_jax.models.layers import Dtype, Linear
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner, fold


class LowRank(nn.Module):
    """[..., C] to [..., features] by way of `rank`; zero at the start."""

    rank: int
    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        linear = functools.partial(Linear, use_bias=False, dtype=self.dtype)
        z = linear(self.rank, name='down')(x)
        return linear(self.features, kernel_init=nn.initializers.zeros, name='up')(z)


class LoraTuner(Tuner):
    """Low-rank products at the linear maps named.

    Attributes:
        rank: of the products.
        alpha: the products are scaled by alpha / rank.
        targets: the maps' names: qkv, proj, fc1, fc2; q, k, v and kv where these are maps apart.
    """

    rank: int = 32
    alpha: float = 32.0
    targets: tuple[str, ...] = ('qkv', 'q', 'k', 'v', 'kv')

    def layer(self, module: nn.Module, x: Array) -> Array:
        y = module(x)
        if module.name not in self.targets:
            return y
        product = functools.partial(LowRank, self.rank, module.features, module.dtype)
        return y + self.alpha / self.rank * self.own(product, module)(x)


def _merge(own: Tree, backbone: Tree, tuner: LoraTuner) -> Tree:
    """The backbone with every product added to its map's kernel."""

    def add(product: Tree, module: Tree) -> Tree:
        down, up = (np.asarray(product[name]['kernel'], np.float64) for name in ('down', 'up'))
        kernel = module['kernel'] + tuner.alpha / tuner.rank * down @ up
        return {**module, 'kernel': kernel.astype(module['kernel'].dtype)}

    return fold(own, backbone, add)


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=LoraTuner,
    identity_at_start=True,
    # Of one factor only: the product is to scale with alpha, not with its square.
    identity={'*/up/kernel': 0.0},
    merge=_merge,
)
