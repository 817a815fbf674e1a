"""GAPrompt's shift network: moves the points of a cloud, and describes its shape.

A small PointNet++: two levels of set abstraction, then features carried back to the points.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import farthest_point_sample, gather_points, knn
from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import ZEROS
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, gelu, max_pool

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
SHARPNESS = 1e-4  # added to squared distances where features are interpolated


def waves(points: Array) -> Array:
    """[..., 3] to [..., 27]: the coordinates, and sine and cosine of each at four frequencies."""
    parts = [points]
    for frequency in FREQUENCIES:
        parts += [jnp.sin(frequency * points), jnp.cos(frequency * points)]
    return jnp.concatenate(parts, axis=-1)


def interpolation(
    targets: Array, sources: Array, number: int, epsilon: float
) -> tuple[Array, Array]:
    """The `number` nearest of `sources` [B, M, 3] to `targets` [B, N, 3], or as many as there are.

    Weights [B, N, K], which sum to 1, by 1 / (squared distance + epsilon), and indices [B, N, K].
    """
    indices = knn(targets, sources, min(number, sources.shape[1]))[1]
    difference = gather_points(sources, indices) - targets[:, :, None]
    weights = 1 / (jnp.square(difference).sum(axis=-1) + epsilon)
    return weights / weights.sum(axis=-1, keepdims=True), indices


def interpolate(values: Array, weights: Array, indices: Array) -> Array:
    """Values [B, M, C] at the places that `interpolation` was asked for: [B, N, C]."""
    return jnp.einsum('bnk,bnkc->bnc', weights.astype(values.dtype), gather_points(values, indices))


class Stages(nn.Module):
    """Linear, batch norm, ReLU for each of `widths`: [..., C] to [..., last width]."""

    widths: tuple[int, ...]
    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for index, width in enumerate(self.widths):
            x = Linear(width, dtype=self.dtype, name=f'layer_{index}')(x)
            x = jax.nn.relu(BatchNorm(self.use_running, self.dtype, name=f'norm_{index}')(x))
        return x


class ShiftNet(nn.Module):
    """Clouds [B, N, 3] to moved clouds [B, N, 3] and features [B, G / 2, 8] of their shape.

    Attributes:
        num_groups: G, the centres of the first level.
        amount: how far a point moves, as a share of its own coordinates.
        dropout: rate before the last map.
        train: whether dropout is on and batch statistics are used.
    """

    num_groups: int
    amount: float
    dropout: float
    train: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, points: Array) -> tuple[Array, Array]:
        first, fine = self._abstract('down_0', points, waves(points), self.num_groups, 32, 64)
        second, coarse = self._abstract('down_1', first, fine, self.num_groups // 2, 16, 8)
        fine = self._carry('up_1', (64, 32), first, fine, second, coarse)
        every = self._carry('up_0', (32, 32), points, waves(points), first, fine)
        h = jax.nn.relu(Linear(64, dtype=self.dtype, bias_init=ZEROS, name='hidden')(every))
        h = nn.Dropout(self.dropout, deterministic=not self.train)(h)
        shift = Linear(3, dtype=self.dtype, bias_init=ZEROS, name='out')(h)
        return points + self.amount * shift.astype(points.dtype) * points, coarse

    def _abstract(
        self, name: str, points: Array, values: Array, number: int, size: int, width: int
    ) -> tuple[Array, Array]:
        """Centres [B, number, 3], and the maximum [B, number, width] over what lies around each."""
        centers = gather_points(points, farthest_point_sample(points, number))
        indices = knn(centers, points, min(size, points.shape[1]))[1]
        stages = Stages((64, 32, width), not self.train, self.dtype, name=name)
        return centers, max_pool(stages(gather_points(values, indices)))

    def _carry(
        self,
        name: str,
        widths: tuple[int, ...],
        points: Array,
        values: Array,
        sources: Array,
        carried: Array,
    ) -> Array:
        """`values` [B, N, C] at `points` joined with those of `sources`, [B, N, last width]."""
        near = interpolate(carried, *interpolation(points, sources, 32, SHARPNESS))
        joined = jnp.concatenate([values.astype(near.dtype), near], axis=-1)
        return Stages(widths, not self.train, self.dtype, name=name)(joined)


class ShapeVector(nn.Module):
    """The features [B, M, 8] of a cloud to one vector [B, width]: linear to 16, GELU, linear."""

    width: int
    dropout: float
    train: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, features: Array) -> Array:
        flat = features.reshape(features.shape[0], -1)
        h = gelu(Linear(16, dtype=self.dtype, name='hidden')(flat))
        h = nn.Dropout(self.dropout, deterministic=not self.train)(h)
        return Linear(self.width, dtype=self.dtype, name='out')(h)


# Paths below the shift network's and the shape vector's own to PyTorch names.
TORCH_NAMES = {
    **{
        f'shift/{path}/{kind}_{index}': f'shift_net.{name}.{torch}.{index}'
        for path, name in (
            ('down_0', 'abstraction_level1'),
            ('down_1', 'abstraction_level2'),
            ('up_0', 'propagation1'),
            ('up_1', 'propagation2'),
        )
        for kind, torch in (('layer', 'mlp_convs'), ('norm', 'mlp_bns'))
        for index in range(3)
    },
    'shift/hidden': 'shift_net.mlp_position.0',
    'shift/out': 'shift_net.mlp_position.3',
    'shape/hidden': 'shape_feature_mlp.0',
    'shape/out': 'shape_feature_mlp.3',
}
# One axis of one for the first, two for both.
CONVOLUTIONS = ('shift_net.*.mlp_convs.*', 'shift_net.abstraction_*.mlp_convs.*')
