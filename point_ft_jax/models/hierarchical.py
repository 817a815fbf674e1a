"""The hierarchical backbone of Point-M2AE (Zhang et al., NeurIPS 2022, arXiv 2205.14401).

Three levels, each with fewer and wider tokens than the one before. The first level embeds
neighbourhoods of points, the others merge the *features* of neighbouring tokens; within a level,
blocks attend to the tokens nearby. There is no class token. What a method puts among the tokens of
a level (prompts) ends with that level.
"""

import itertools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import Groups, gather_points
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models import channels
from point_ft_jax.models.layers import Dtype, layer_norm
from point_ft_jax.models.recomputation import AUTO
from point_ft_jax.models.tokenizer import MiniPointNet, mini_pointnet, require_points
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import Block, Positions, apply_block, drop_path_rates
from point_ft_jax.models.tuner import Tuner


class Level(nn.Module):
    """One level: neighbourhoods to tokens (`embed`), and tokens through its blocks (`encode`).

    Attributes:
        width, heads: of the blocks.
        drop_paths: the rate of each block; as many as there are blocks.
        tokenizer_widths: of the mini-PointNet before its last map.
        tuner: what is put at the seams.
        hold_statistics, qkv_bias, memory, train, dtype: see `HierarchicalTransformer`.
    """

    width: int
    heads: int
    drop_paths: tuple[float, ...]
    tokenizer_widths: tuple[int, int, int]
    tuner: Tuner
    hold_statistics: bool = False
    qkv_bias: bool = False
    memory: str = AUTO
    train: bool = False
    dtype: Dtype | None = None

    def setup(self) -> None:
        use_running = self.hold_statistics or not self.train
        make = mini_pointnet(self.memory, use_running)
        self.tokenizer = make(self.width, use_running, self.tokenizer_widths, self.dtype)
        self.positions = Positions(self.width, hidden=self.width, dtype=self.dtype)
        self.norm = layer_norm(self.dtype)
        self.block = [
            Block(
                width=self.width,
                heads=self.heads,
                tuner=self.tuner,
                index=index,
                drop_path=rate,
                train=self.train,
                dtype=self.dtype,
                qkv_bias=self.qkv_bias,
            )
            for index, rate in enumerate(self.drop_paths)
        ]

    def embed(self, neighbourhoods: Array, centers: Array) -> Tokens:
        """The tokens at `centers` [B, G, 3] of `neighbourhoods` [B, G, K, C], not encoded yet."""
        patches = self.tuner.layer(self.tokenizer, neighbourhoods)
        none = no_prompts(patches)
        positions = self.positions(centers)
        return Tokens(none, patches, centers, slots=none, patch_pos=positions)

    def encode(self, tokens: Tokens) -> Tokens:
        """The tokens after this level's blocks; `tokens.mask` says which patches see which."""
        for block in self.block:
            tokens = apply_block(block, tokens, self.memory)
        return tokens

    def normalize(self, tokens: Tokens) -> Tokens:
        """The tokens normalised, by a norm that only segmentation (and pre-training) has."""
        return tokens.with_sequence(self.tuner.layer(self.norm, tokens.sequence()))


class HierarchicalTransformer(nn.Module):
    """Clouds [B, N, 3 + F] to the normalised `Tokens` of the last level.

    A cloud with fewer points than groups or neighbours is a UserError at trace time. Duplicated
    points are fine; where they leave fewer distinct points than groups, centres repeat.

    Attributes:
        widths, depths: of each level's transformer.
        heads: at every level.
        num_groups, group_sizes: tokens of each level, and how many points, or tokens of the level
            before, each is made of.
        radii: how far attention reaches at each level; None, or (), for everywhere.
        unmasked: encode as the autoencoder does a cloud of which it hides nothing: attention has no
            reach, but nothing reads what `carry_down` leaves out. The published linear SVM has
            it so. No parameter depends on it.
        level_norm: end with the last level's own norm, which pre-training trains, in place of the
            classifier's `norm`. The published linear SVM has it so. The tree then has the norms of
            all levels, and no `norm`.
        drop_path: the last block's rate; it grows from 0 through the blocks of all levels.
        hold_statistics: normalise with the running statistics in training too, and leave them.
        qkv_bias: whether queries, keys and values have biases: no published model's, but a merged
            one's may.
        input_channels, fill: see `PointTransformer`.
        memory: what is kept for the backward pass, of the tokenizers too; see `recomputation`.
        dtype: what to compute in; None for the type of the parameters.
    """

    widths: tuple[int, ...] = (96, 192, 384)
    depths: tuple[int, ...] = (5, 5, 5)
    heads: int = 6
    num_groups: tuple[int, ...] = (512, 256, 64)
    group_sizes: tuple[int, ...] = (16, 8, 8)
    radii: tuple[float, ...] | None = (0.32, 0.64, 1.28)
    unmasked: bool = False
    level_norm: bool = False
    drop_path: float = 0.0
    hold_statistics: bool = False
    qkv_bias: bool = False
    input_channels: int = channels.PLACE
    fill: float | None = None
    memory: str = AUTO
    dtype: Dtype | None = None

    def setup(self) -> None:
        self.norm = layer_norm(self.dtype)

    @property
    def first_map(self) -> str:
        """The path of the kernel that takes the channels of a point."""
        return 'level_0/tokenizer/first_0/kernel'

    @property
    def fewest_points(self) -> int:
        """What a cloud must have; parameters do not depend on the number of points."""
        return max(self.num_groups[0], self.group_sizes[0])

    def __call__(self, points: Array, tuner: Tuner, train: bool = False) -> Tokens:
        if self.level_norm:
            return self.stages(points, tuner, train)[-1]
        grouped = self.group(points)
        tokens = self.levels(grouped, tuner, train, visible=self._visible(grouped))[-1]
        return tokens.with_sequence(tuner.layer(self.norm, tokens.sequence()))

    def stages(self, points: Array, tuner: Tuner, train: bool = False) -> list[Tokens]:
        """The tokens of every level, each normalised by a norm of its own."""
        grouped = self.group(points)
        return self.levels(grouped, tuner, train, normalized=True, visible=self._visible(grouped))

    def _visible(self, grouped: list[Groups]) -> list[Array] | None:
        """What the blocks of every level see, if not everything that is near."""
        if not self.unmasked:
            return None
        return carry_down(jnp.ones(grouped[-1].centers.shape[:2], bool), grouped)

    def group(self, points: Array) -> list[Groups]:
        """The neighbourhoods of every level, the finest first; see `group_levels`."""
        require_points(points, self.fewest_points)
        points = channels.filled(points, self.input_channels, self.fill)
        return group_levels(points, self.num_groups, self.group_sizes)

    @nn.compact
    def levels(
        self,
        grouped_levels: Sequence[Groups],
        tuner: Tuner,
        train: bool = False,
        normalized: bool = False,
        visible: Sequence[Array] | None = None,
    ) -> list[Tokens]:
        """The encoded tokens of every level, the finest first.

        With `visible`, [B, G] bool a level, only those tokens go through the blocks: what an
        autoencoder shows of a cloud. The others stay as they were embedded.
        """
        drop_paths = iter(drop_path_rates(self.drop_path, sum(self.depths)))
        radii = self.radii or (None,) * len(self.widths)
        levels: list[Tokens] = []
        outputs: list[Tokens] = []
        for index, grouped in enumerate(grouped_levels):
            level = Level(
                width=self.widths[index],
                heads=self.heads,
                drop_paths=tuple(itertools.islice(drop_paths, self.depths[index])),
                tokenizer_widths=self._tokenizer_widths(index),
                tuner=tuner,
                hold_statistics=self.hold_statistics,
                qkv_bias=self.qkv_bias,
                memory=self.memory,
                train=train,
                dtype=self.dtype,
                name=f'level_{index}',
            )
            fine = gather_points(levels[-1].patches, grouped.indices) if levels else grouped.groups
            if visible is None:
                tokens = level.embed(fine, grouped.centers)
                mask = near(grouped.centers, radii[index])
                levels.append(level.encode(tokens.replace(mask=mask)))
            else:
                tokens = _encode_visible(level, fine, grouped.centers, visible[index], radii[index])
                levels.append(tokens)
            outputs.append(level.normalize(levels[-1]) if normalized else levels[-1])
        return outputs

    def _tokenizer_widths(self, index: int) -> tuple[int, int, int]:
        if index == 0:
            return MiniPointNet.widths
        finer, width = self.widths[index - 1 : index + 1]
        return finer, finer, width


def group_levels(
    points: Array, num_groups: tuple[int, ...], group_sizes: tuple[int, ...]
) -> list[Groups]:
    """Neighbourhoods of `points` [B, N, 3 + F], then of their centres, and so on.

    Raises:
        UserError: a level that wants more groups or neighbours than the one before has groups.
    """
    for finer, groups, size in zip(num_groups, num_groups[1:], group_sizes[1:], strict=False):
        if max(groups, size) > finer:
            raise UserError(
                f'num_groups {tuple(num_groups)}, group_sizes {tuple(group_sizes)}: a level of '
                f'{finer} groups can not be merged into {groups} groups of {size}'
            )
    levels: list[Groups] = []
    for groups, size in zip(num_groups, group_sizes, strict=True):
        finer = levels[-1].centers if levels else points
        levels.append(channels.group(finer, groups, size))
    return levels


def carry_down(visible: Array, grouped: list[Groups]) -> list[Array]:
    """The visible tokens, [B, G] bool, of every level, the finest first, from the coarsest's.

    A finer token is visible if a visible one is made of it. Not every token is in a neighbourhood
    of the level above: even where the coarsest level is visible throughout, some finer tokens are
    not (of 512 about 3, of 256 about 10). As in the reference, the first token of the first cloud
    of a batch is visible on every level but the coarsest: its index is what hidden ones are given.
    """
    found = [visible]
    for level in reversed(range(1, len(grouped))):
        indices, above = grouped[level].indices, found[0]
        finer = jnp.zeros(grouped[level - 1].centers.shape[:2], bool)
        batch = jnp.arange(len(indices))[:, None, None]
        finer = finer.at[batch, indices].max(above[..., None])
        found.insert(0, finer.at[0, 0].set(True))
    return found


def _encode_visible(
    level: Level, neighbourhoods: Array, centers: Array, visible: Array, radius: float | None
) -> Tokens:
    """A level's tokens, of which those `visible` [B, G] have gone through its blocks.

    The reference moves a cloud's visible tokens together and fills up with zeros, at the origin, to
    the most visible tokens that a cloud of the batch has. In its mask visible tokens see each other
    whatever their distance, and the zeros count as tokens: what is nearer to the origin than the
    radius sees them. Here the hidden tokens stand in for the zeros, as many as there would be, and
    nothing reads the rest of them: the same numbers at fixed shapes. (The reference also keeps
    the distances of a finer level where two levels happen to be filled up to one length; that has
    not been taken over.)
    """
    shown = visible[..., None]
    embedded = level.embed(neighbourhoods, jnp.where(shown, centers, 0))
    count = visible.sum(axis=1)
    zeros = jnp.cumsum(~visible, axis=1) <= (count.max() - count)[:, None]
    mask = visible[:, :, None] & visible[:, None]
    close = near(embedded.centers, radius)
    mask = mask | (True if close is None else close)
    mask &= (visible | zeros)[:, None]
    patches = jnp.where(shown, embedded.patches, 0)
    encoded = level.encode(embedded.replace(patches=patches, mask=mask)).patches
    return embedded.replace(
        patches=jnp.where(shown, encoded, embedded.patches), centers=centers, patch_pos=None
    )


def near(centers: Array, radius: float | None) -> Array | None:
    """[B, G, G] bool, whether two of `centers` [B, G, 3] are closer than `radius`; None for None.

    By direct differences in float32. The reference's distances (`torch.cdist`, by products) round
    worse, so that a pair within 1e-6 of the radius may fall on its other side.
    """
    if radius is None:
        return None
    centers = jax.lax.stop_gradient(centers).astype(jnp.float32)
    difference = centers[:, :, None] - centers[:, None]
    return jnp.square(difference).sum(axis=-1) < radius**2


# Tree path below 'backbone' to PyTorch name; see `torch_names`.
BLOCK = 'h_encoder.encoder_blocks.{level}.blocks.{block}'
TORCH_NAMES = {
    'level_{level}/tokenizer/first_0': 'h_encoder.token_embed.{level}.first_conv.0',
    'level_{level}/tokenizer/first_norm': 'h_encoder.token_embed.{level}.first_conv.1',
    'level_{level}/tokenizer/first_1': 'h_encoder.token_embed.{level}.first_conv.3',
    'level_{level}/tokenizer/second_0': 'h_encoder.token_embed.{level}.second_conv.0',
    'level_{level}/tokenizer/second_norm': 'h_encoder.token_embed.{level}.second_conv.1',
    'level_{level}/tokenizer/second_1': 'h_encoder.token_embed.{level}.second_conv.3',
    'level_{level}/positions/hidden': 'h_encoder.encoder_pos_embeds.{level}.0',
    'level_{level}/positions/out': 'h_encoder.encoder_pos_embeds.{level}.2',
    'level_{level}/block_{block}/norm1': f'{BLOCK}.norm1',
    'level_{level}/block_{block}/attention/qkv': f'{BLOCK}.attn.qkv',
    'level_{level}/block_{block}/attention/proj': f'{BLOCK}.attn.proj',
    'level_{level}/block_{block}/norm2': f'{BLOCK}.norm2',
    'level_{level}/block_{block}/mlp/fc1': f'{BLOCK}.mlp.fc1',
    'level_{level}/block_{block}/mlp/fc2': f'{BLOCK}.mlp.fc2',
    'level_{level}/norm': 'h_encoder.encoder_norms.{level}',
    'norm': 'norm',
}
