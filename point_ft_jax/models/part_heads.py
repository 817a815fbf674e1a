"""Part-segmentation heads: from a backbone's stages to logits of every point.

A *stage* is the `Tokens` that a backbone's `stages` gives: for a plain transformer those after a
third, two thirds and all of its blocks, for a hierarchy each level's. A head brings their patches
to the points, puts what is known of the whole cloud beside them, and maps each point to its part.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import farthest_point_sample, gather_points
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, leaky, max_pool
from point_ft_jax.models.propagation import (
    GraphPropagation,
    Interpolated,
    Joined,
    Propagation,
    three_nearest,
)
from point_ft_jax.models.tokens import Tokens

CATEGORY_WIDTH = 64


class PartHead(nn.Module):
    """What the heads share; each is called with

        points [B, N, 3], stages, cloud [B, E], category [B, C], train

    where `cloud` is what `readout.read_stages` reads of the whole cloud (E may be 0) and `category`
    one-hot, and gives logits [B, N, num_parts], in float32 at least.

    Attributes:
        num_parts: P.
        propagation: widths of the maps after each interpolation.
        widths: of the hidden maps of a point.
        dropout: rate after the first of them.
        suffix: what the reference appends to the names of its modules.
        sees_category: whether the category plays a part; of scenes (S3DIS) there is but one.
    """

    num_parts: int
    propagation: tuple[int, ...] = (1536, 1024)
    widths: tuple[int, ...] = (512, 256)
    dropout: float = 0.5
    suffix: str = ''
    sees_category: bool = True
    dtype: Dtype | None = None

    # PyTorch names of convolutions; see `backbone.Backbone.conv`.
    conv = ('label_conv*', 'propagation*', 'convs*')

    def embedded(self, category: Array, train: bool) -> Array:
        """The category [B, C] as [B, 64]; as [B, 0], without parameters, if it is not seen."""
        if not self.sees_category:
            return category[:, :0]
        x = Linear(CATEGORY_WIDTH, use_bias=False, dtype=self.dtype, name='category')(category)
        return leaky(BatchNorm(not train, self.dtype, name='category_norm')(x))

    def propagated(
        self,
        index: int,
        parts: Sequence[Array | Interpolated],
        train: bool,
        last: tuple[int, ...] = (),
    ) -> Array:
        """The parts, side by side, through the propagation of that number, and to `last`."""
        widths = (*self.propagation, *last)
        return Propagation(widths, train, self.dtype, name=f'propagation_{index}')(parts)

    def classified(self, parts: Sequence[Array], train: bool) -> Array:
        """The logits of points described by `parts`, side by side."""
        x = Joined(self.widths[0], dtype=self.dtype, name='layer_0')(parts)
        for index, width in enumerate(self.widths):
            if index:
                x = Linear(width, dtype=self.dtype, name=f'layer_{index}')(x)
            x = jax.nn.relu(BatchNorm(not train, self.dtype, name=f'norm_{index}')(x))
            if index == 0:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = Linear(self.num_parts, dtype=self.dtype, name='logits')(x)
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def propagation_names(self, index: int, module: str, last: int = 0) -> dict[str, str]:
        """The PyTorch names of a propagation, registered as `module`, with `last` maps more."""
        steps = range(len(self.propagation) + last)
        return {
            **{f'propagation_{index}/layer_{i}': f'{module}.mlp_convs.{i}' for i in steps},
            **{f'propagation_{index}/norm_{i}': f'{module}.mlp_bns.{i}' for i in steps},
        }

    def last_names(self) -> dict[str, str]:
        """The PyTorch names of the category's embedding and of the last maps."""
        s, depth = self.suffix, len(self.widths)
        return {
            'category': f'label_conv{s}.0',
            'category_norm': f'label_conv{s}.1',
            'logits': f'convs{depth + 1}{s}',
            **{f'layer_{i}': f'convs{i + 1}{s}' for i in range(depth)},
            **{f'norm_{i}': f'bns{i + 1}{s}' for i in range(depth)},
        }


class TapHead(PartHead):
    """The head of Point-MAE, ACT, ReCon and, with prompts for the cloud, IDPT.

    The stages' patches side by side are interpolated to the points.
    """

    @nn.compact
    def __call__(
        self,
        points: Array,
        stages: Sequence[Tokens],
        cloud: Array,
        category: Array,
        train: bool = False,
    ) -> Array:
        patches = jnp.concatenate([tokens.patches for tokens in stages], axis=-1)
        near = three_nearest(points, stages[-1].centers)
        features = self.propagated(0, [points, Interpolated(patches, near)], train)
        whole = [cloud[:, None], self.embedded(category, train)[:, None]]
        return self.classified([features, *whole], train)

    @property
    def torch_names(self) -> dict[str, str]:
        """The head's tree paths to PyTorch names."""
        return {**self.propagation_names(0, f'propagation_0{self.suffix}'), **self.last_names()}


class LevelHead(PartHead):
    """The head of Point-M2AE: each level's tokens are propagated to the points by themselves.

    Of the whole cloud it sees the sum of maximum and mean of what the points have got.
    """

    widths: tuple[int, ...] = (1024, 512, 256)
    levels: int = 3

    @nn.compact
    def __call__(
        self,
        points: Array,
        stages: Sequence[Tokens],
        cloud: Array,
        category: Array,
        train: bool = False,
    ) -> Array:
        features = [
            self.propagated(
                i, [points, Interpolated(t.patches, three_nearest(points, t.centers))], train
            )
            for i, t in enumerate(stages)
        ]
        x = jnp.concatenate(features, axis=-1)
        pooled = (max_pool(x) + x.mean(axis=1))[:, None]
        whole = [pooled, cloud[:, None], self.embedded(category, train)[:, None]]
        return self.classified([*whole, x], train)

    @property
    def torch_names(self) -> dict[str, str]:
        """The head's tree paths to PyTorch names."""
        levels = [self.propagation_names(i, f'propagations.{i}') for i in range(self.levels)]
        return {k: v for names in (*levels, self.last_names()) for k, v in names.items()}


class GraphHead(PartHead):
    """The head of Point-BERT: tokens are propagated to ever more farthest points, along graphs.

    Every propagation ends at the tokens' own width.

    Attributes:
        sizes: of the two sets of farthest points between the points and the centres.
        neighbors, edge_width: of the graphs.
    """

    propagation: tuple[int, ...] = (1536,)
    widths: tuple[int, ...] = (128,)
    sizes: tuple[int, int] = (512, 256)
    neighbors: int = 4
    edge_width: int = 512

    conv = ('propagation*', 'conv[12].*', 'dgcnn_pro_*', 'dgcnn_pro_?.*')  # the last in two axes

    @nn.compact
    def __call__(
        self,
        points: Array,
        stages: Sequence[Tokens],
        cloud: Array,
        category: Array,
        train: bool = False,
    ) -> Array:
        first, second, last = stages
        centers, x = last.centers, last.patches
        width = (x.shape[-1],)
        for index, size, tokens in ((2, self.sizes[1], second), (1, self.sizes[0], first)):
            size = min(size, points.shape[1])
            queries = gather_points(points, farthest_point_sample(points, size))
            near = three_nearest(queries, tokens.centers)
            found = Interpolated(tokens.patches, near)
            own = self.propagated(index, [queries, found], train, width)
            graph = GraphPropagation(
                self.edge_width, self.neighbors, dtype=self.dtype, name=f'graph_{index}'
            )
            centers, x = queries, graph(centers, x, queries, own)
        near = Interpolated(x, three_nearest(points, centers))
        known = category if self.sees_category else category[:, :0]
        features = self.propagated(0, [known[:, None], points, near], train, width)
        return self.classified([features, cloud[:, None]], train)

    @property
    def torch_names(self) -> dict[str, str]:
        """The head's tree paths to PyTorch names."""
        names = {'layer_0': 'conv1', 'norm_0': 'bn1', 'logits': 'conv2'}
        for index in range(3):
            names |= self.propagation_names(index, f'propagation_{index}', last=1)
        for index in (1, 2):
            for layer in (0, 1):
                module = f'dgcnn_pro_{index}.layer{layer + 1}'
                names[f'graph_{index}/layer_{layer}'] = f'{module}.0'
                names[f'graph_{index}/norm_{layer}'] = f'{module}.1'
        return names
