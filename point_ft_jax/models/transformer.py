"""Pre-norm transformer blocks with the seams that tuning methods use.

A backbone never knows which method tunes it. It calls its `Tuner` at four seams: `tokens` where
clouds become tokens, `layer` around every linear map and norm, `keys_values` inside every
attention, `block` around every block. The base `Tuner` is the identity; a method overrides what it
touches.

The tuner is a sibling of the backbone: the classifier owns both, and hands its tuner down as an
attribute. Flax lets a bound module travel so: wherever it is called, its parameters stay in its own
scope, `params['tuner']`. That is why the backbone's tree is the same for every method.
"""

import flax.linen as nn
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import DropPath, Dtype, Linear, gelu, layer_norm
from point_ft_jax.models.lean import attention
from point_ft_jax.models.recomputation import AUTO, keeping
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Tuner


class Attention(nn.Module):
    """Multi-head self-attention: one fused `qkv`, softmax in float32 at least, `proj`.

    The published models' qkv has no bias; a merged model's may have one (`qkv_bias`).
    """

    width: int
    heads: int
    tuner: Tuner
    dtype: Dtype | None = None
    qkv_bias: bool = False

    def setup(self) -> None:
        self.qkv = Linear(3 * self.width, use_bias=self.qkv_bias, dtype=self.dtype)
        self.proj = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        batch, length, _ = x.shape
        qkv = self.tuner.layer(self.qkv, x).reshape(batch, length, 3, self.heads, -1)
        k, v = self.tuner.keys_values(self, qkv[:, :, 1], qkv[:, :, 2])
        return self.tuner.layer(self.proj, attend(qkv[:, :, 0], k, v, mask))


def attend(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """Scaled dot-product attention: [B, N, H, d], [B, M, H, d] twice to [B, N, H * d].

    `mask` [B, 1, N, n] bool, or what broadcasts to it, says which of the first n keys may be seen;
    the others always may.
    """
    if mask is not None:
        more = k.shape[1] - mask.shape[-1]
        mask = jnp.pad(mask, ((0, 0), (0, 0), (0, 0), (0, more)), constant_values=True)
    seen = attention(q, k, v, mask)
    return seen.reshape(*seen.shape[:2], -1)


class Mlp(nn.Module):
    """Linear to four times the width, GELU, linear back."""

    width: int
    tuner: Tuner
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.fc1 = Linear(4 * self.width, dtype=self.dtype)
        self.fc2 = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array) -> Array:
        return self.tuner.layer(self.fc2, gelu(self.tuner.layer(self.fc1, x)))


class Block(nn.Module):
    """x + attention(norm1(x)), then x + mlp(norm2(x)), with the positions added to x first.

    Its four steps are public, for methods that put something between them: `attend`, `normalize`,
    `mlp` and `join`. Other block styles have the same four. What a style has after them, on the
    tokens, is `finish`.
    """

    width: int
    heads: int
    tuner: Tuner
    index: int = 0
    drop_path: float = 0.0
    train: bool = False
    dtype: Dtype | None = None
    qkv_bias: bool = False
    hold_statistics: bool = False

    def setup(self) -> None:
        self.norm1 = layer_norm(self.dtype)
        self.attention = Attention(self.width, self.heads, self.tuner, self.dtype, self.qkv_bias)
        self.norm2 = layer_norm(self.dtype)
        self.mlp = Mlp(self.width, self.tuner, self.dtype)
        self.drop = DropPath(self.drop_path, self.train)

    def __call__(self, tokens: Tokens) -> Tokens:
        x = self.attend(tokens)
        h = self.normalize(x)
        return tokens.with_sequence(self.join(x, h, self.mlp(h)))

    def attend(self, tokens: Tokens) -> Array:
        """The sequence [B, N, D] after attention and its residual."""
        x = tokens.positioned()
        h = self.tuner.layer(self.norm1, x)
        return x + self.drop(self.attention(h, tokens.attention_mask()))

    def normalize(self, x: Array) -> Array:
        """The input of the MLP, and of what runs beside it."""
        return self.tuner.layer(self.norm2, x)

    def join(self, x: Array, h: Array, update: Array) -> Array:
        """The block's output from the sequence `x`, its normalised form `h` and the update."""
        return x + self.drop(update)

    def finish(self, tokens: Tokens) -> Tokens:
        """The tokens that leave the block, whatever its tuner made of it: here as they are."""
        return tokens


def apply_block(block: nn.Module, tokens: Tokens, memory: str = AUTO) -> Tokens:
    """The tokens after `block`, as its tuner has it.

    `memory` says what is kept for the backward pass; see `recomputation.MEMORY`.
    """
    return keeping(memory, _through)(block, tokens)


def _through(block: nn.Module, tokens: Tokens) -> Tokens:
    return block.finish(block.tuner.block(block, tokens))


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """The rate of each block: from 0 in the first to `rate` in the last."""
    return [rate * i / max(depth - 1, 1) for i in range(depth)]


class Positions(nn.Module):
    """Positions [B, G, D] of centres [B, G, 3]: linear to `hidden`, GELU, linear to `width`."""

    width: int
    hidden: int = 128
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, centers: Array) -> Array:
        h = gelu(Linear(self.hidden, dtype=self.dtype, name='hidden')(centers))
        return Linear(self.width, dtype=self.dtype, name='out')(h)


def broadcast_token(token: Array, like: Array) -> Array:
    """A learned [1, S, D] token for every sample of `like` [B, ...], in its type."""
    return jnp.broadcast_to(token.astype(like.dtype), (like.shape[0], *token.shape[1:]))
