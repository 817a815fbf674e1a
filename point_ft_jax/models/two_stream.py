"""ReCon's block: the global tokens and the patches in two streams.

The patches attend to themselves, the global tokens attend to the patches, each stream with weights
of its own. Unlike in a pre-norm block, every update is added to the *normalised* value:
x <- LN(x) + f(LN(x)); the plain residual stream ends at each norm.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import DropPath, Dtype, Linear, layer_norm
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import Attention, Block, Mlp, attend
from point_ft_jax.models.tuner import Tuner


class CrossAttention(nn.Module):
    """Queries of one sequence [B, S, D] on keys and values of another [B, N, D]: [B, S, D]."""

    width: int
    heads: int
    tuner: Tuner
    dtype: Dtype | None = None
    qkv_bias: bool = False

    def setup(self) -> None:
        self.q = Linear(self.width, use_bias=self.qkv_bias, dtype=self.dtype)
        self.kv = Linear(2 * self.width, use_bias=self.qkv_bias, dtype=self.dtype)
        self.proj = Linear(self.width, dtype=self.dtype)

    def __call__(self, x: Array, memory: Array, mask: Array | None = None) -> Array:
        q = self.tuner.layer(self.q, x).reshape(*x.shape[:2], self.heads, -1)
        kv = self.tuner.layer(self.kv, memory).reshape(*memory.shape[:2], 2, self.heads, -1)
        k, v = self.tuner.keys_values(self, kv[:, :, 0], kv[:, :, 1])
        return self.tuner.layer(self.proj, attend(q, k, v, mask))


class TwoStreamBlock(Block):
    """ReCon's block, with the four steps of `transformer.Block`.

    The first `num_global` tokens of a sequence are the global stream; prompts go with the patches.
    With `detach` no gradient flows from the global stream into the patches: the reference's
    pre-training has it so, its fine-tuning does not.
    """

    num_global: int = 3
    detach: bool = False

    def setup(self) -> None:
        self.norm1 = layer_norm(self.dtype)
        self.norm1_global = layer_norm(self.dtype)
        attention = (self.width, self.heads, self.tuner, self.dtype, self.qkv_bias)
        self.attention = Attention(*attention)
        self.attention_global = CrossAttention(*attention)
        self.norm2 = layer_norm(self.dtype)
        self.norm2_global = layer_norm(self.dtype)
        self.mlp_patches = Mlp(self.width, self.tuner, self.dtype)
        self.mlp_global = Mlp(self.width, self.tuner, self.dtype)
        self.drop = DropPath(self.drop_path, self.train)

    def attend(self, tokens: Tokens) -> Array:
        """Both streams after attention, [B, N, D]."""
        cls, patches = self._split(tokens.positioned())
        cls = self.tuner.layer(self.norm1_global, cls)
        patches = self.tuner.layer(self.norm1, patches)
        mask = tokens.attention_mask()  # the same for all tokens: nothing else masks these
        if mask is not None:
            mask = mask[..., self.num_global :]
        seen = jax.lax.stop_gradient(patches) if self.detach else patches
        both = (
            cls + self.drop(self.attention_global(cls, seen, mask)),
            patches + self.drop(self.attention(patches, mask)),
        )
        return jnp.concatenate(both, axis=1)

    def normalize(self, x: Array) -> Array:
        """Both streams normalised, each by its own norm."""
        cls, patches = self._split(x)
        both = (self.tuner.layer(self.norm2_global, cls), self.tuner.layer(self.norm2, patches))
        return jnp.concatenate(both, axis=1)

    def mlp(self, h: Array) -> Array:
        """Both streams through their own MLP."""
        cls, patches = self._split(h)
        return jnp.concatenate([self.mlp_global(cls), self.mlp_patches(patches)], axis=1)

    def join(self, x: Array, h: Array, update: Array) -> Array:
        """The block's output: the update is added to the normalised `h`."""
        cls, patches = self._split(update)
        return h + jnp.concatenate([self.drop(cls), self.drop(patches)], axis=1)

    def _split(self, x: Array) -> tuple[Array, Array]:
        return x[:, : self.num_global], x[:, self.num_global :]
