"""An array of a tuner's own: prompts, positions, prefixes."""

from collections.abc import Callable

import flax.linen as nn
import jax

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype, Linear, along_last, token_init
from point_ft_jax.models.transformer import spread

ZEROS = nn.initializers.zeros


class Learned(nn.Module):
    """A parameter `value` [1, *shape] for every sample of `like` [B, ...], in its type."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, like: Array) -> Array:
        return spread(self.param('value', token_init, (1, *self.shape)), like)


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


class ScaleShift(nn.Module):
    """gamma * x + beta over the last axis, drawn from N(1, 0.02) and N(0, 0.02)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1],)
        gamma = self.param('gamma', _around_one, shape).astype(x.dtype)
        beta = self.param('beta', nn.initializers.normal(0.02), shape).astype(x.dtype)
        return along_last(gamma, x) * x + along_last(beta, x)


def _around_one(key: Array, shape: tuple[int, ...]) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape)
