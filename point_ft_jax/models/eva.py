"""The block of EVA-02 (Fang et al., 2023, arXiv 2303.11331), without its rotary positions.

A pre-norm block with norms of epsilon 1e-6, keys without a bias, and an MLP that is gated in two of
its three forms.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import DropPath, Dtype, LayerNorm, Linear, gelu
from point_ft_jax.models.rows import along_last
from point_ft_jax.models.transformer import Block, attend
from point_ft_jax.models.tuner import Tuner


def eva_norm(dtype: Dtype | None, name: str | None = None) -> LayerNorm:
    """Layer norm over the last axis with epsilon 1e-6."""
    return LayerNorm(epsilon=1e-6, dtype=dtype, name=name)


class Shift(nn.Module):
    """x plus a bias of its own, which starts at zero."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
        return x + along_last(bias.astype(x.dtype), x)


class EvaAttention(nn.Module):
    """Multi-head self-attention whose queries and values have biases, and whose keys have none.

    Attributes:
        fused: one map `qkv`, with biases `q_bias` and `v_bias` apart; else maps `q`, `k` and `v`.
        qkv_bias: whether a merged model's `qkv`, or `k`, has a bias beside.
    """

    width: int
    heads: int
    tuner: Tuner
    dtype: Dtype | None = None
    qkv_bias: bool = False
    fused: bool = False

    def setup(self) -> None:
        if self.fused:
            self.qkv = Linear(3 * self.width, use_bias=self.qkv_bias, dtype=self.dtype)
            self.q_bias = Shift()
            self.v_bias = Shift()
        else:
            self.q = Linear(self.width, dtype=self.dtype)
            self.k = Linear(self.width, use_bias=self.qkv_bias, dtype=self.dtype)
            self.v = Linear(self.width, dtype=self.dtype)
        self.proj = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        q, k, v = (a.reshape(*x.shape[:2], self.heads, -1) for a in self._projected(x))
        k, v = self.tuner.keys_values(self, k, v)
        return self.tuner.layer(self.proj, attend(q, k, v, mask))

    def _projected(self, x: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values, [B, N, D] each."""
        if not self.fused:
            return tuple(self.tuner.layer(module, x) for module in (self.q, self.k, self.v))
        q, k, v = jnp.split(self.tuner.layer(self.qkv, x), 3, axis=-1)
        return self.q_bias(q), k, self.v_bias(v)


class GatedMlp(nn.Module):
    """Linear to twice `hidden`, silu of one half times the other, linear back."""

    width: int
    hidden: int
    tuner: Tuner
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.fc1 = Linear(2 * self.hidden, dtype=self.dtype)
        self.fc2 = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array) -> Array:
        gate, value = jnp.split(self.tuner.layer(self.fc1, x), 2, axis=-1)
        return self.tuner.layer(self.fc2, jax.nn.silu(gate) * value)


class SwiGlu(nn.Module):
    """`GatedMlp` by two maps, with a norm of the product."""

    width: int
    hidden: int
    tuner: Tuner
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.fc1_gate = Linear(self.hidden, dtype=self.dtype)
        self.fc1_value = Linear(self.hidden, dtype=self.dtype)
        self.norm = eva_norm(self.dtype)
        self.fc2 = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array) -> Array:
        gate, value = (self.tuner.layer(map_, x) for map_ in (self.fc1_gate, self.fc1_value))
        h = self.tuner.layer(self.norm, jax.nn.silu(gate) * value)
        return self.tuner.layer(self.fc2, h)


class PlainMlp(nn.Module):
    """Linear to `hidden`, GELU, linear back."""

    width: int
    hidden: int
    tuner: Tuner
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.fc1 = Linear(self.hidden, dtype=self.dtype)
        self.fc2 = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array) -> Array:
        return self.tuner.layer(self.fc2, gelu(self.tuner.layer(self.fc1, x)))


class EvaBlock(Block):
    """EVA-02's block.

    Attributes:
        make_mlp: the form of its MLP.
        mlp_ratio: the MLP's inner width over the block's.
        fused: see `EvaAttention`.
    """

    make_mlp: Callable[..., nn.Module] = SwiGlu
    mlp_ratio: float = 8 / 3
    fused: bool = False

    def setup(self) -> None:
        self.norm1 = eva_norm(self.dtype)
        self.attention = EvaAttention(
            self.width, self.heads, self.tuner, self.dtype, self.qkv_bias, self.fused
        )
        self.norm2 = eva_norm(self.dtype)
        hidden = int(self.width * self.mlp_ratio)
        self.mlp = self.make_mlp(self.width, hidden, self.tuner, self.dtype)
        self.drop = DropPath(self.drop_path, self.train)
