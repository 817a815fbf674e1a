"""The backbone that all non-hierarchical models here share: tokenizer, positions, blocks, norm."""

import itertools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from kernels import Groups
from point_ft_jax.core.trees import Array
from point_ft_jax.models import channels
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.layers import Dtype, Linear, layer_norm, token_init
from point_ft_jax.models.recomputation import AUTO
from point_ft_jax.models.tokenizer import mini_pointnet, require_points
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import (
    Block,
    Positions,
    apply_block,
    broadcast_token,
    drop_path_rates,
)
from point_ft_jax.models.tuner import Tuner

# What an autoencoder does to the tokens that enter the first block.
Admit = Callable[[Tokens], Tokens]


class PointTransformer(nn.Module):
    """Clouds [B, N, 3 + F] to normalised `Tokens`.

    A cloud with fewer points than groups or neighbours is a UserError at trace time. Duplicated
    points are fine; where they leave fewer distinct points than groups, centres repeat.

    Attributes:
        width, depth, heads: of the transformer (D, L, H).
        num_groups, group_size: of the tokenizer (G, K).
        global_tokens: names of the learned tokens in front of the patches; each has a parameter
            NAME_token and NAME_pos [1, 1, D].
        tokenizer_width: E, the tokenizer's output, which a linear map takes to `width`; None for
            `width` itself, without such a map.
        tokenizer_widths: of the tokenizer's maps but the last; see `MiniPointNet`.
        position_map: makes what takes centres [B, G, 3] to positions [B, G, D], from D and `dtype`.
        block: the block style.
        drop_path: the last block's rate; the first has 0.
        skip_near_origin: whether the centres avoid points near the origin (MaskPoint's do not).
        hold_statistics: normalise with the running statistics in training too, and leave them.
        qkv_bias: whether queries, keys and values have biases: no published model's, but a merged
            one's may.
        input_channels: 3 + F, the coordinates and what else a point has; see `channels`.
        fill: F values for clouds that have but coordinates; None to refuse them.
        memory: what is kept for the backward pass, of the tokenizer too; see `recomputation`.
        dtype: what to compute in; None for the type of the parameters.
    """

    width: int = 384
    depth: int = 12
    heads: int = 6
    num_groups: int = 128
    group_size: int = 32
    global_tokens: tuple[str, ...] = ('cls',)
    tokenizer_width: int | None = None
    tokenizer_widths: tuple[int, ...] = (128, 256, 512)
    position_map: Callable[..., nn.Module] = Positions
    block: Callable[..., nn.Module] = Block
    drop_path: float = 0.0
    skip_near_origin: bool = True
    hold_statistics: bool = False
    qkv_bias: bool = False
    input_channels: int = channels.PLACE
    fill: float | None = None
    memory: str = AUTO
    dtype: Dtype | None = None

    @property
    def fewest_points(self) -> int:
        """What a cloud must have; parameters do not depend on the number of points."""
        return max(self.num_groups, self.group_size)

    @property
    def first_map(self) -> str:
        """The path of the kernel that takes the channels of a point."""
        return 'tokenizer/first_0/kernel'

    @property
    def taps(self) -> tuple[int, ...]:
        """The blocks, from 0, that end the first, second and last third: 3, 7 and 11 of twelve."""
        return tuple(max(self.depth * third // 3 - 1, 0) for third in (1, 2, 3))

    def setup(self) -> None:
        self.norm = layer_norm(self.dtype)
        self.positions = self.position_map(self.width, dtype=self.dtype)

    def __call__(self, points: Array, tuner: Tuner, train: bool = False) -> Tokens:
        return self.encode(points, tuner, train)

    def stages(self, points: Array, tuner: Tuner, train: bool = False) -> list[Tokens]:
        """The tokens after each of `taps`, which part segmentation reads.

        One norm is for all, and for prompts and patches only: ReCon's head reads the global tokens
        as they are. It is called once: what a tuner has of its own at a seam is made there.
        """
        blocks = self.after_blocks(points, tuner, train)
        tapped = [blocks[index] for index in self.taps]
        normed = tuner.layer(self.norm, jnp.concatenate([_others(t) for t in tapped], axis=1))
        lengths = [_others(t).shape[1] for t in tapped]
        parts = jnp.split(normed, list(itertools.accumulate(lengths))[:-1], axis=1)
        return [
            t.with_sequence(jnp.concatenate([t.cls, part], axis=1))
            for t, part in zip(tapped, parts, strict=True)
        ]

    def group(
        self, points: Array, num_groups: int | None = None, group_size: int | None = None
    ) -> Groups:
        """The neighbourhoods that become patches; as many and as large as the geometry says."""
        number, size = num_groups or self.num_groups, group_size or self.group_size
        require_points(points, max(number, size))
        points = channels.filled(points, self.input_channels, self.fill)
        return channels.group(points, number, size, skip_near_origin=self.skip_near_origin)

    def encode(
        self, cloud: Array | Groups, tuner: Tuner, train: bool = False, admit: Admit | None = None
    ) -> Tokens:
        """The normalised tokens of clouds or their neighbourhoods; see `after_blocks`."""
        tokens = self.after_blocks(cloud, tuner, train, admit)[-1]
        return tokens.with_sequence(tuner.layer(self.norm, tokens.sequence()))

    @nn.compact
    def after_blocks(
        self, cloud: Array | Groups, tuner: Tuner, train: bool = False, admit: Admit | None = None
    ) -> list[Tokens]:
        """The tokens after every block, not normalised.

        `cloud` are clouds [B, N, 3], or neighbourhoods, which no tuner makes other tokens of.
        `admit` says what of a cloud's tokens enters the blocks, and what they see of each other: an
        autoencoder hides some. The tokenizer, and its batch norm, sees all of them.
        """
        embedding = self._embedding(tuner, train)
        if isinstance(cloud, Groups):
            tokens = embedding.tokens(cloud)
        else:
            tokens = tuner.tokens(embedding, cloud)
        tokens = self.enter(tokens)
        if admit is not None:
            tokens = admit(tokens)
        blocks: list[Tokens] = []
        for index, rate in enumerate(drop_path_rates(self.drop_path, self.depth)):
            block = self.block(
                width=self.width,
                heads=self.heads,
                tuner=tuner,
                index=index,
                drop_path=rate,
                train=train,
                dtype=self.dtype,
                qkv_bias=self.qkv_bias,
                hold_statistics=self.hold_statistics,
                name=f'block_{index}',
            )
            blocks.append(apply_block(block, blocks[-1] if blocks else tokens, self.memory))
        return blocks

    def enter(self, tokens: Tokens) -> Tokens:
        """The tokens as the first block gets them: here as they are."""
        return tokens

    def _embedding(self, tuner: Tuner, train: bool) -> Embedding:
        """What makes the tokens that enter the first block."""
        use_running = self.hold_statistics or not train
        tokenizer = mini_pointnet(self.memory, use_running)(
            self.tokenizer_width or self.width,
            use_running=use_running,
            widths=self.tokenizer_widths,
            dtype=self.dtype,
            name='tokenizer',
        )
        reduce = self.tokenizer_width and Linear(self.width, dtype=self.dtype, name='reduce')
        cls, cls_pos = (self._global_tokens(what) for what in ('token', 'pos'))

        def tokens(grouped: Groups) -> Tokens:
            if reduce:  # the seam is the tokens' last map, one seam in every model
                patches = tuner.layer(reduce, tokenizer(grouped.groups))
            else:
                patches = tuner.layer(tokenizer, grouped.groups)
            none = no_prompts(patches)
            return Tokens(
                cls=jnp.concatenate(
                    [none, *(broadcast_token(token, patches) for token in cls)], axis=1
                ),
                patches=patches,
                centers=grouped.centers,
                slots=none,
                cls_pos=jnp.concatenate(
                    [none, *(broadcast_token(pos, patches) for pos in cls_pos)], axis=1
                ),
                patch_pos=self.positions(grouped.centers),
            )

        return Embedding(self.group, tokens, self.positions, self.depth, train, self.dtype)

    def _global_tokens(self, what: str) -> list[Array]:
        """The learned tokens or their positions, each [1, 1, D]."""
        shape = (1, 1, self.width)
        return [self.param(f'{name}_{what}', token_init, shape) for name in self.global_tokens]


def _others(tokens: Tokens) -> Array:
    """Slots and patches, [B, P + G, D]."""
    return jnp.concatenate([tokens.slots, tokens.patches], axis=1)


# Tree path below 'backbone' to PyTorch name; see `torch_names`.
TORCH_NAMES = {
    'cls_token': 'cls_token',
    'cls_pos': 'cls_pos',
    'tokenizer/first_0': 'encoder.first_conv.0',
    'tokenizer/first_norm': 'encoder.first_conv.1',
    'tokenizer/first_1': 'encoder.first_conv.3',
    'tokenizer/second_0': 'encoder.second_conv.0',
    'tokenizer/second_norm': 'encoder.second_conv.1',
    'tokenizer/second_1': 'encoder.second_conv.3',
    'positions/hidden': 'pos_embed.0',
    'positions/out': 'pos_embed.2',
    'block_{block}/norm1': 'blocks.blocks.{block}.norm1',
    'block_{block}/attention/qkv': 'blocks.blocks.{block}.attn.qkv',
    'block_{block}/attention/proj': 'blocks.blocks.{block}.attn.proj',
    'block_{block}/norm2': 'blocks.blocks.{block}.norm2',
    'block_{block}/mlp/fc1': 'blocks.blocks.{block}.mlp.fc1',
    'block_{block}/mlp/fc2': 'blocks.blocks.{block}.mlp.fc2',
    'norm': 'norm',
}
