"""ReCon++'s backbone (Qi et al., ECCV 2024): queries attend to the patches after each block.

A local stream of patches, which is a plain transformer, and a global one of learned queries. After
every block the queries attend to the patches, and nothing flows back: unlike in ReCon's own block
(`two_stream`), both streams add to plain residuals.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from kernels import Groups
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import DropPath, Linear, layer_norm, max_pool, unit
from point_ft_jax.models.point_transformer import Admit, PointTransformer
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.transformer import Attention, Block, Mlp, broadcast_token
from point_ft_jax.models.tuner import Tuner
from point_ft_jax.models.two_stream import CrossAttention


class QueryBlock(Block):
    """A pre-norm block of the patches and prompts; then the queries, its global tokens, attend.

    q + attention(norm1(q) on norm1(patches)), then q + mlp(norm2(q)). What a tuner does to a block
    it does to the patches'; the queries follow, with seams of their own.

    Attributes:
        num_queries: how many tokens in front of the sequence are queries.
    """

    num_queries: int = 16

    def setup(self) -> None:
        attention = (self.width, self.heads, self.tuner, self.dtype, self.qkv_bias)
        self.norm1 = layer_norm(self.dtype)
        self.attention = Attention(*attention)
        self.norm2 = layer_norm(self.dtype)
        self.mlp_patches = Mlp(self.width, self.tuner, self.dtype)
        self.drop = DropPath(self.drop_path, self.train)
        self.norm1_queries = layer_norm(self.dtype)
        self.attention_queries = CrossAttention(*attention)
        self.norm2_queries = layer_norm(self.dtype)
        self.mlp_queries = Mlp(self.width, self.tuner, self.dtype)

    def attend(self, tokens: Tokens) -> Array:
        queries, x = self._split(tokens.positioned())
        mask = tokens.attention_mask()
        if mask is not None:
            mask = mask[..., self.num_queries :]
            mask = mask[..., self.num_queries :, :] if mask.shape[-2] > 1 else mask
        h = self.tuner.layer(self.norm1, x)
        return jnp.concatenate([queries, x + self.drop(self.attention(h, mask))], axis=1)

    def normalize(self, x: Array) -> Array:
        """The patches normalised; the queries as they are."""
        queries, x = self._split(x)
        return jnp.concatenate([queries, self.tuner.layer(self.norm2, x)], axis=1)

    def mlp(self, h: Array) -> Array:
        """The MLP of the patches; nothing for the queries."""
        queries, h = self._split(h)
        return jnp.concatenate([jnp.zeros_like(queries), self.mlp_patches(h)], axis=1)

    def finish(self, tokens: Tokens) -> Tokens:
        """The tokens with the queries' own step taken."""
        queries = tokens.cls
        h, memory = self._split(self.tuner.layer(self.norm1_queries, tokens.sequence()))
        mask = tokens.replace(mask=None, causal=False).attention_mask()
        if mask is not None:
            mask = mask[..., self.num_queries :]
        queries = queries + self.drop(self.attention_queries(h, memory, mask))
        h = self.tuner.layer(self.norm2_queries, queries)
        return tokens.replace(cls=queries + self.drop(self.mlp_queries(h)))

    def _split(self, x: Array) -> tuple[Array, Array]:
        return x[:, : self.num_queries], x[:, self.num_queries :]


class QueryTransformer(PointTransformer):
    """Clouds [B, N, 3 + F] to normalised `Tokens`, whose global tokens are the queries.

    Their feature 'queries' [B, E] is what each kind of query says.

    Attributes:
        image_queries, text_queries: how many there are of each kind.
    """

    global_tokens: tuple[str, ...] = ()
    block: Callable[..., nn.Module] = QueryBlock
    qkv_bias: bool = True
    image_queries: int = 13
    text_queries: int = 3

    @property
    def num_queries(self) -> int:
        """How many global tokens there are."""
        return self.image_queries + self.text_queries

    def setup(self) -> None:
        super().setup()
        self.norm_queries = layer_norm(self.dtype)

    def enter(self, tokens: Tokens) -> Tokens:
        """The tokens with the queries in front, which have no positions."""
        shape = (1, self.image_queries + self.text_queries, self.width)
        queries = self.param('queries', nn.initializers.zeros, shape)
        return tokens.replace(cls=broadcast_token(queries, tokens.patches), cls_pos=None)

    def encode(
        self, cloud: Array | Groups, tuner: Tuner, train: bool = False, admit: Admit | None = None
    ) -> Tokens:
        tokens = self.after_blocks(cloud, tuner, train, admit)[-1]
        size, x = self.num_queries, tokens.sequence()
        both = (tuner.layer(self.norm_queries, x[:, :size]), tuner.layer(self.norm, x[:, size:]))
        tokens = tokens.with_sequence(jnp.concatenate(both, axis=1))
        end = self.image_queries + self.text_queries
        image, text = tokens.cls[:, : self.image_queries], tokens.cls[:, self.image_queries : end]
        return tokens.replace(features=self.features(image, text, tokens.cls[:, end:]))

    def features(self, image: Array, text: Array, others: Array) -> dict[str, Array]:
        """What is read of the queries of images, of texts and, side by side, of others."""
        maxima = [max_pool(queries) for queries in (image, text)]
        others = others.reshape(others.shape[0], -1)
        return {'queries': jnp.concatenate([others, *maxima], axis=-1)}


class AlignedQueryTransformer(QueryTransformer):
    """With a feature 'aligned' [B, E]: the place in the space that the queries were aligned with.

    It is the mean of the image queries' directions there, plus `text_share` times the mean of the
    text queries'.

    Attributes:
        aligned_width: of the space (E).
        text_share: 0.5 for the published ModelNet40 and Objaverse-LVIS, 0.3 for ScanObjectNN.
    """

    aligned_width: int = 1280
    text_share: float = 0.5

    def setup(self) -> None:
        super().setup()
        self.align_image = Linear(self.aligned_width, dtype=self.dtype)
        self.align_text = Linear(self.aligned_width, dtype=self.dtype)

    def features(self, image: Array, text: Array, others: Array) -> dict[str, Array]:
        places = unit(self.align_image(image)).mean(axis=1)
        aligned = places + self.text_share * unit(self.align_text(text)).mean(axis=1)
        return {**super().features(image, text, others), 'aligned': aligned}


def torch_names(prefix: str = '') -> dict[str, str]:
    """Tree paths below 'backbone' of what both forms have to PyTorch names, below `prefix`."""
    blocks = f'{prefix}encoder.blocks'
    local, queries = f'{blocks}.local_blocks.{{block}}', f'{blocks}.global_blocks.{{block}}'
    return {
        'queries': f'{prefix}global_query',
        'tokenizer/first_0': f'{prefix}embed.first_conv.0',
        'tokenizer/first_norm': f'{prefix}embed.first_conv.1',
        'tokenizer/first_1': f'{prefix}embed.first_conv.3',
        'tokenizer/first_norm_2': f'{prefix}embed.first_conv.4',  # of the large tokenizer
        'tokenizer/first_2': f'{prefix}embed.first_conv.6',
        'tokenizer/second_0': f'{prefix}embed.second_conv.0',
        'tokenizer/second_norm': f'{prefix}embed.second_conv.1',
        'tokenizer/second_1': f'{prefix}embed.second_conv.3',
        'block_{block}/norm1': f'{local}.norm1',
        'block_{block}/attention/qkv': f'{local}.attn.qkv',
        'block_{block}/attention/proj': f'{local}.attn.proj',
        'block_{block}/norm2': f'{local}.norm2',
        'block_{block}/mlp_patches/fc1': f'{local}.mlp.fc1',
        'block_{block}/mlp_patches/fc2': f'{local}.mlp.fc2',
        'block_{block}/norm1_queries': f'{queries}.norm1',
        'block_{block}/attention_queries/q': f'{queries}.attn.q',
        'block_{block}/attention_queries/kv': f'{queries}.attn.kv',
        'block_{block}/attention_queries/proj': f'{queries}.attn.proj',
        'block_{block}/norm2_queries': f'{queries}.norm2',
        'block_{block}/mlp_queries/fc1': f'{queries}.mlp.fc1',
        'block_{block}/mlp_queries/fc2': f'{queries}.mlp.fc2',
        'norm': f'{prefix}encoder.ln_f1',
        'norm_queries': f'{prefix}encoder.ln_f2',
    }
