"""PointGPT's transformer (Chen et al., NeurIPS 2023, arXiv 2305.11487): patches in a causal order.

The patches of a cloud are a chain (`patch_order.greedy_order`). A learned token opens the sequence,
every token sees itself and those before it, and a generator, a small transformer of the same form,
says from what has been read so far where the next patch's points are, told the direction in which
it lies. That is the pre-training, and in fine-tuning a second loss.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from kernels import Groups, gather_points, knn
from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders.reconstruction import chamfer_l1_l2
from point_ft_jax.models.layers import Dtype, Linear, layer_norm
from point_ft_jax.models.patch_order import greedy_order, reorder
from point_ft_jax.models.point_transformer import Admit, PointTransformer
from point_ft_jax.models.positions import OneFrequency, one_frequency
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import Block, broadcast_token
from point_ft_jax.models.tuner import Tuner


class CausalBlock(Block):
    """Attention is added to the *normalised* input; the MLP to a plain residual, as usual."""

    def attend(self, tokens: Tokens) -> Array:
        h = self.tuner.layer(self.norm1, tokens.positioned())
        return h + self.drop(self.attention(h, tokens.attention_mask()))


class CausalTransformer(PointTransformer):
    """Clouds [B, N, 3] to normalised `Tokens`, the patches in their order.

    The sequence is the opening token, the global ones, prompts, patches. The positions are as
    published, crosswise: the opening token has that of the class token, `cls_pos`, and the class
    token `sos_pos`, which in pre-training was the opening token's. A class token so placed sees
    nothing of the cloud: it is the same for all.

    In training the generator's loss joins the collection 'losses', where that is asked for. It has
    what the published files have, read or not: `unread`, the `sos` of the generator, and the norms
    of the others among classification, part segmentation and pre-training.

    Attributes:
        generator_depth: of the generator; width and heads are the backbone's.
        generation_weight: of the generator's loss beside the task's; 0 for none.
    """

    block: Callable[..., nn.Module] = CausalBlock
    position_map: Callable[..., nn.Module] = OneFrequency
    qkv_bias: bool = True
    generator_depth: int = 4
    generation_weight: float = 3.0

    def setup(self) -> None:
        super().setup()
        self.sos = self.param('sos', nn.initializers.normal(1.0), (self.width,))
        self.sos_pos = self.param('sos_pos', nn.initializers.zeros, (1, 1, self.width))
        self.norm_last = layer_norm(self.dtype)
        self.norm_head = layer_norm(self.dtype)
        self.generator = Generator(
            self.generator_depth, self.heads, self.group_size, self.qkv_bias, self.dtype
        )
        self.unread = Linear(3 * self.group_size, dtype=self.dtype)

    def __call__(self, points: Array, tuner: Tuner, train: bool = False) -> Tokens:
        tokens = super().__call__(points, tuner, train)
        self.make_unread(tokens)
        if train and self.generation_weight and self.is_mutable_collection('losses'):
            self.sow('losses', 'generation', self._generation(tokens, points))
        tokens = tokens.with_sequence(tuner.layer(self.norm_head, tokens.sequence()))
        return _without_opening(tokens)

    def stages(self, points: Array, tuner: Tuner, train: bool = False) -> list[Tokens]:
        tapped = super().stages(points, tuner, train)
        self.make_unread(tapped[-1])
        return [_without_opening(tokens) for tokens in tapped]

    def group(
        self, points: Array, num_groups: int | None = None, group_size: int | None = None
    ) -> Groups:
        """The neighbourhoods that become patches, in their order."""
        grouped = super().group(points, num_groups, group_size)
        return reorder(grouped, greedy_order(grouped.centers))

    def enter(self, tokens: Tokens) -> Tokens:
        """The tokens behind the one that opens the sequence, each to see what is before it."""
        opening, place = (
            broadcast_token(token.reshape(1, 1, -1), tokens.patches)
            for token in (self.sos, self.sos_pos)
        )
        return tokens.replace(
            cls=jnp.concatenate([opening, tokens.cls], axis=1),
            cls_pos=jnp.concatenate([tokens.cls_pos, place], axis=1),
            causal=True,
        )

    def encode(
        self, cloud: Array | Groups, tuner: Tuner, train: bool = False, admit: Admit | None = None
    ) -> Tokens:
        """The normalised tokens, as `PointTransformer` has them; the opening one is the first."""
        tokens = self.after_blocks(cloud, tuner, train, admit)[-1]
        return tokens.with_sequence(tuner.layer(self.norm_last, tokens.sequence()))

    def generate(self, encoded: Array, centers: Array, mask: Array | None = None) -> Array:
        """The points [B, G, K, 3] of patches at `centers` [B, G, 3].

        `encoded` [B, G, D] are the tokens that stand before each: the opening one, and all patches
        but the last. `mask` [B, G, G] bool says which of them see which, beside the order.
        """
        return self.generator(encoded, centers, mask)

    def make_unread(self, tokens: Tokens) -> None:
        """Has every parameter made, whichever of them a pass reads."""
        if self.is_initializing():
            for module in (self.norm, self.norm_last, self.unread):
                module(tokens.patches)
            self.generate(tokens.patches, tokens.centers)

    def _generation(self, tokens: Tokens, points: Array) -> Array:
        """The generator's loss [], weighted. Its points are compared as they lie in the cloud."""
        encoded = jnp.concatenate([tokens.cls[:, :1], tokens.patches[:, :-1]], axis=1)
        predicted = self.generate(encoded, tokens.centers)
        _, indices = knn(tokens.centers, points[..., :3], self.group_size)
        return (
            self.generation_weight
            * chamfer_l1_l2(predicted, gather_points(points[..., :3], indices)).mean()
        )


class Generator(nn.Module):
    """Tokens [B, G, D] to the points [B, G, K, 3] of patches at centres [B, G, 3].

    Attributes:
        depth, heads: of its blocks, which are `CausalBlock`s.
        num_points: K.
        qkv_bias, dtype: see `transformer.Block`.
    """

    depth: int
    heads: int
    num_points: int
    qkv_bias: bool = True
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, encoded: Array, centers: Array, mask: Array | None = None) -> Array:
        batch, number, width = encoded.shape
        none = no_prompts(encoded)
        self.param('sos', nn.initializers.normal(1.0), (width,))  # published, and never read
        places = one_frequency(directions(centers), width)
        tokens = Tokens(
            none, encoded, centers, slots=none, patch_pos=places, mask=mask, causal=True
        )
        for index in range(self.depth):
            tokens = CausalBlock(
                width=width,
                heads=self.heads,
                tuner=Tuner(),
                index=index,
                dtype=self.dtype,
                qkv_bias=self.qkv_bias,
                name=f'block_{index}',
            )(tokens)
        x = layer_norm(self.dtype, name='norm')(tokens.patches)
        points = Linear(3 * self.num_points, dtype=self.dtype, name='points')(x)
        points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
        return points.reshape(batch, number, self.num_points, 3)


def directions(centers: Array) -> Array:
    """[B, G, 3]: the first centre itself, then unit vectors from each centre to the next.

    From a centre to one at the same place the reference has NaN; here it is zero.
    """
    steps = centers[:, 1:] - centers[:, :-1]
    lengths = jnp.linalg.norm(steps, axis=-1, keepdims=True)
    units = jnp.where(lengths > 0, steps / jnp.where(lengths > 0, lengths, 1), 0)
    return jnp.concatenate([centers[:, :1], units], axis=1)


def _without_opening(tokens: Tokens) -> Tokens:
    """The tokens without the one that opens the sequence."""
    place = None if tokens.cls_pos is None else tokens.cls_pos[:, 1:]
    return tokens.replace(cls=tokens.cls[:, 1:], cls_pos=place)


def _block_names(block: str) -> dict[str, str]:
    """The PyTorch names of a block's modules."""
    return {
        'norm1': f'{block}.ln_1',
        'attention/qkv/kernel': f'{block}.attn.in_proj_weight',
        'attention/qkv/bias': f'{block}.attn.in_proj_bias',
        'attention/proj': f'{block}.attn.out_proj',
        'norm2': f'{block}.ln_2',
        'mlp/fc1': f'{block}.mlp.0',
        'mlp/fc2': f'{block}.mlp.2',
    }


# Tree path below 'backbone' to PyTorch name; see torch_names.
TORCH_NAMES = {
    'sos': 'blocks.sos',
    'sos_pos': 'sos_pos',
    'cls_token': 'cls_token',
    'cls_pos': 'cls_pos',
    'tokenizer/first_0': 'encoder.first_conv.0',
    'tokenizer/first_norm': 'encoder.first_conv.1',
    'tokenizer/first_1': 'encoder.first_conv.3',
    'tokenizer/first_norm_2': 'encoder.first_conv.4',  # of the large sizes
    'tokenizer/first_2': 'encoder.first_conv.6',
    'tokenizer/second_0': 'encoder.second_conv.0',
    'tokenizer/second_norm': 'encoder.second_conv.1',
    'tokenizer/second_1': 'encoder.second_conv.3',
    **{f'block_{{block}}/{k}': v for k, v in _block_names('blocks.layers.{block}').items()},
    'norm_last': 'blocks.ln_f',
    'norm_head': 'blocks.cls_norm',
    'unread': 'blocks.increase_dim.0',
    'norm': 'norm',
    'generator/sos': 'generator_blocks.sos',
    **{
        f'generator/block_{{block}}/{k}': v
        for k, v in _block_names('generator_blocks.layers.{block}').items()
    },
    'generator/norm': 'generator_blocks.ln_f',
    'generator/points': 'generator_blocks.increase_dim.0',
}
