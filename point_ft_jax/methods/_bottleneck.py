"""The two-layer adapter that Houlsby's method and AdaptFormer share."""

from collections.abc import Callable

import flax.linen as nn

from point_ft_jax.models.layers import Array, Dtype, Linear

ZEROS = nn.initializers.zeros


class Bottleneck(nn.Module):
    """[..., D] down to `rank`, an activation, up to [..., D]; zero at the start."""

    rank: int
    activation: Callable[[Array], Array]
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        z = Linear(self.rank, dtype=self.dtype, bias_init=ZEROS, name='down')(x)
        up = Linear(x.shape[-1], dtype=self.dtype, kernel_init=ZEROS, bias_init=ZEROS, name='up')
        return up(self.activation(z))
