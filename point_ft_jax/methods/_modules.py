"""What several methods are made of, and what a tuner has put aside for its blocks."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype, Linear, gelu, token_init
from point_ft_jax.models.rows import along_last
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import broadcast_token

ZEROS = nn.initializers.zeros


def recall(tokens: Tokens, name: str, method: str) -> Array:
    """What `method` has put aside in its seam `tokens` under `name`.

    Raises:
        UserError: the backbone does not have that seam.
    """
    if name not in tokens.memo:
        raise UserError(
            f'{method} starts where points become tokens, once for all blocks, and this backbone '
            'has no such place (a hierarchy makes tokens at every level): choose a backbone of one '
            'level, such as point_mae, or another method'
        )
    return tokens.memo[name]


class Learned(nn.Module):
    """A parameter `value` [1, *shape] for every sample of `like` [B, ...], in its type."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, like: Array) -> Array:
        return broadcast_token(self.param('value', token_init, (1, *self.shape)), like)


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


class SmallMlp(nn.Module):
    """[..., D] to [..., features]: linear to `hidden`, GELU, linear; kernels from N(0, 0.02)."""

    hidden: int
    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        linear = functools.partial(
            Linear, dtype=self.dtype, kernel_init=token_init, bias_init=ZEROS
        )
        return linear(self.features, name='up')(gelu(linear(self.hidden, name='down')(x)))


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
