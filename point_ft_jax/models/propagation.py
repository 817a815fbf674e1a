"""From tokens at centres to features at points: three-nearest interpolation and what follows it."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from kernels import gather_points, knn
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import (
    KERNEL_INIT,
    BatchNorm,
    Dtype,
    Linear,
    edge_products,
    leaky,
    max_pool,
    uniform_init,
)
from point_ft_jax.models.rows import along_last


def three_nearest(points: Array, centers: Array) -> Array:
    """[B, N, M]: takes values at `centers` [B, M, 3] to `points` [B, N, 3].

    A row holds the weights of the three centres nearest to a point (of all, where there are fewer),
    by the inverse of their squared distances, and zeros; it sums to 1. No gradient.

    Distances are direct differences. The references' are products (|a|^2 - 2ab + |b|^2), which
    round to small negative numbers where a point is a centre; the weights are the same but there.
    """
    points, centers = (jax.lax.stop_gradient(a) for a in (points, centers))
    count = min(3, centers.shape[1])
    _, indices = knn(points, centers, count)
    difference = points[:, :, None] - gather_points(centers, indices)
    weights = 1.0 / (jnp.square(difference).sum(-1) + 1e-8)
    weights = weights / weights.sum(-1, keepdims=True)
    iota = jnp.arange(centers.shape[1], dtype=jnp.int32).reshape(1, 1, -1)
    return sum(
        jnp.where(indices[..., i : i + 1] == iota, weights[..., i : i + 1], 0) for i in range(count)
    )


class Interpolated(NamedTuple):
    """Values [B, M, C] at centres, taken to points by `matrix` [B, N, M]."""

    values: Array
    matrix: Array


class Joined(nn.Module):
    """A linear map of several arrays side by side: to [B, N, features].

    A part is an array [B, N, C], or [B, 1, C] for all points alike, or `Interpolated`. The kernel
    is that of the concatenation, in the order of the parts; each part is mapped at the size that it
    has, so that what is known once a cloud, or once a token, is not mapped once a point.
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, parts: Sequence[Array | Interpolated]) -> Array:
        widths = [_values(part).shape[-1] for part in parts]
        fan_in = sum(widths)
        kernel = self.param('kernel', KERNEL_INIT, (fan_in, self.features))
        y, start = jnp.zeros((), kernel.dtype), 0
        for part, width in zip(parts, widths, strict=True):
            if width:
                y = y + self._product(part, kernel[start : start + width])
            start += width
        if self.use_bias:
            bias = self.param('bias', uniform_init(fan_in**-0.5), (self.features,))
            y += along_last(bias.astype(y.dtype), y)
        return y

    def _product(self, part: Array | Interpolated, kernel: Array) -> Array:
        values, kernel = promote_dtype(_values(part), kernel, dtype=self.dtype)
        if not isinstance(part, Interpolated):
            return values @ kernel
        matrix = part.matrix.astype(values.dtype)
        # Both orders are the same sum; which one is less work depends on what is wider.
        if values.shape[-1] > values.shape[-2]:
            return matrix @ (values @ kernel)
        return (matrix @ values) @ kernel


def _values(part: Array | Interpolated) -> Array:
    return part.values if isinstance(part, Interpolated) else part


class Propagation(nn.Module):
    """Feature propagation of PointNet++: [parts side by side] through linear, batch norm, ReLU.

    Parts as `Joined` takes them; the result is [B, N, widths[-1]].
    """

    widths: tuple[int, ...]
    train: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, parts: Sequence[Array | Interpolated]) -> Array:
        x = Joined(self.widths[0], dtype=self.dtype, name='layer_0')(parts)
        for index, width in enumerate(self.widths):
            if index:
                x = Linear(width, dtype=self.dtype, name=f'layer_{index}')(x)
            x = jax.nn.relu(BatchNorm(not self.train, self.dtype, name=f'norm_{index}')(x))
        return x


class GraphPropagation(nn.Module):
    """Point-BERT's propagation of features along edges: to features [B, M, D] at `queries`.

    First along the edges from each query to the `neighbors` nearest centres, then along those among
    the queries themselves. An edge from i to j is [f_j - f_i, f_i].
    """

    hidden: int = 512
    neighbors: int = 4
    groups: int = 4
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, centers: Array, values: Array, queries: Array, own: Array) -> Array:
        width = own.shape[-1]
        x = self._edges(self.hidden, 0, queries, own, centers, values)
        return self._edges(width, 1, queries, x, queries, x)

    def _edges(
        self, features: int, index: int, queries: Array, own: Array, centers: Array, values: Array
    ) -> Array:
        """The maximum over a query's edges of linear, group norm, leaky ReLU."""
        indices = knn(queries, centers, min(self.neighbors, centers.shape[1]))[1]
        edges = EdgeLinear(features, self.dtype, name=f'layer_{index}')(own, values, indices)
        norm = nn.GroupNorm(
            self.groups,
            epsilon=1e-5,
            use_fast_variance=False,
            dtype=self.dtype,
            name=f'norm_{index}',
        )
        return max_pool(leaky(norm(edges)))


class EdgeLinear(nn.Module):
    """`edge_products` with a kernel of its own."""

    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, own: Array, values: Array, indices: Array) -> Array:
        kernel = self.param('kernel', KERNEL_INIT, (2 * own.shape[-1], self.features))
        own, values, kernel = promote_dtype(own, values, kernel, dtype=self.dtype)
        return edge_products(kernel, own, values, indices)
