"""Positions from sinusoids of the centres, where a model does not learn them from the coordinates.

Both take centres [B, G, 3] to [B, G, D] and fit `PointTransformer.position_map`. Each axis has a
third of the channels, x first; channels that are left over are zero.
"""

import flax.linen as nn
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype, Linear, gelu


def sinusoid(centers: Array, width: int) -> Array:
    """PCP-MAE's code [..., width] of centres [..., 3], in float32 at least.

    Per axis the sines, then the cosines, of the coordinate times 10000^(-k/n), k = 0 to n - 1, with
    n = width // 6.
    """
    number = width // 6
    dtype = jnp.promote_types(centers.dtype, jnp.float32)
    frequencies = 10000.0 ** (-jnp.arange(number, dtype=dtype) / number)
    phases = jnp.multiply.outer(centers.astype(dtype), frequencies)
    codes = jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)
    return _padded(codes.reshape(*centers.shape[:-1], -1), width)


class SinusoidPositions(nn.Module):
    """The sinusoid through linear, GELU, linear, all of the width D."""

    width: int
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.hidden = Linear(self.width, dtype=self.dtype)
        self.out = Linear(self.width, dtype=self.dtype)

    def __call__(self, centers: Array) -> Array:
        return self.embed(sinusoid(centers, self.width))

    def embed(self, codes: Array) -> Array:
        """Positions [B, G, D] of codes [B, G, D], a centre's or what was predicted for it."""
        return self.out(gelu(self.hidden(codes)))


def one_frequency(centers: Array, width: int) -> Array:
    """PointGPT's code [..., width] of centres [..., 3], in float32 at least.

    A sinusoid of temperature one, so that all frequencies are one: per axis sin(2πx) and cos(2πx)
    by turns, in 2 (width // 6) channels.
    """
    centers = centers.astype(jnp.promote_types(centers.dtype, jnp.float32))
    phases = 2 * jnp.pi * centers[..., None]
    codes = jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)
    shape = (*centers.shape[:-1], -1)
    return _padded(jnp.tile(codes, width // 6).reshape(shape), width)


class OneFrequency(nn.Module):
    """`one_frequency`, without a parameter."""

    width: int
    dtype: Dtype | None = None

    def __call__(self, centers: Array) -> Array:
        return one_frequency(centers, self.width)


def _padded(codes: Array, width: int) -> Array:
    """`codes` [..., C] with zeros to [..., width]."""
    return jnp.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, width - codes.shape[-1])])
