"""The small layers, with the conventions of the PyTorch models whose weights they carry.

Where PyTorch and Flax differ by default, the published models decide: exact GELU, layer norm with
epsilon 1e-5, batch norm whose running variance is unbiased, linear layers that start uniform in
+-1/sqrt(fan in), weights and biases alike.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import canonicalize_dtype, promote_dtype

from kernels import gather_points
from point_ft_jax.core.trees import Array
from point_ft_jax.models.lean import gelu as gelu  # one of the small layers too
from point_ft_jax.models.recomputation import kept
from point_ft_jax.models.rows import along_last, batch_standardized, product, standardized

Dtype = Any
EPSILON = 1e-5  # of norms, PyTorch's


def leaky(x: Array) -> Array:
    """Leaky ReLU with slope 0.2."""
    return jax.nn.leaky_relu(x, 0.2)


def edge_products(kernel: Array, own: Array, values: Array, indices: Array) -> Array:
    """Edges [x_j - x_i, x_i] by a kernel [2C, F]: [B, M, K, F].

    `own` [B, M, C] are the x_i, `values` [B, N, C] hold the x_j, at `indices` [B, M, K]. The kernel
    is that of the concatenation; by linearity it needs two products a row, not one an edge.
    """
    width = own.shape[-1]
    difference, itself = kernel[:width], kernel[width:]
    near = gather_points(values @ difference, indices)
    return near + (own @ (itself - difference))[:, :, None]


def unit(x: Array, axis: int = -1) -> Array:
    """`x` with vectors of length 1 along `axis`; zeros stay zeros."""
    square = jnp.square(x).sum(axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, jnp.finfo(x.dtype).tiny))


def token_init(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Normal with deviation 0.02: what learned tokens and positions start from."""
    return 0.02 * jax.random.normal(key, shape, dtype)


# Uniform in +-1/sqrt(fan in): PyTorch's start of a linear map's weights ...
KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def uniform_init(bound: float) -> nn.initializers.Initializer:
    """... and, with `bound` 1/sqrt(fan in), of its biases: uniform in +-`bound`."""

    def init(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Linear(nn.Module):
    """[..., C] to [..., features]: `kernel` [C, features] and, unless refused, `bias`."""

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    kernel_init: nn.initializers.Initializer = KERNEL_INIT
    bias_init: nn.initializers.Initializer | None = None  # None: uniform in +-1/sqrt(fan in)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        fan_in = x.shape[-1]
        kernel = self.param('kernel', self.kernel_init, (fan_in, self.features))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        y = product(x, kernel)
        if self.use_bias:
            init = self.bias_init or uniform_init(fan_in**-0.5)
            bias = self.param('bias', init, (self.features,))
            y += along_last(bias.astype(y.dtype), y)
        return y


class LayerNorm(nn.Module):
    """[..., C] with mean 0 and deviation 1 in every row, times `scale`, plus `bias` [C]."""

    epsilon: float = EPSILON
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        scale = self.param('scale', nn.initializers.ones, (width,))
        bias = self.param('bias', nn.initializers.zeros, (width,))
        dtype = canonicalize_dtype(x, scale, bias, dtype=self.dtype)
        y = standardized(x, self.epsilon)
        scale, bias = (along_last(vector.astype(y.dtype), y) for vector in (scale, bias))
        return (y * scale + bias).astype(dtype)


def layer_norm(dtype: Dtype | None, name: str | None = None) -> LayerNorm:
    """Layer norm over the last axis with PyTorch's epsilon."""
    return LayerNorm(dtype=dtype, name=name)


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last, as PyTorch's.

    With `use_running` the running statistics normalise and stay; without, the batch's own (biased)
    variance normalises, and the running statistics move by 0.1 towards the batch's mean and
    *unbiased* variance.
    """

    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, width)
        running_var = self.variable('batch_stats', 'var', jnp.ones, width)
        scale = self.param('scale', nn.initializers.ones, (width,))
        bias = self.param('bias', nn.initializers.zeros, (width,))
        if self.use_running:
            factor = jax.lax.rsqrt(running_var.value + EPSILON) * scale
            offset = bias - running_mean.value * factor
            x, factor, offset = promote_dtype(x, factor, offset, dtype=self.dtype)
            return x * along_last(factor, x) + along_last(offset, x)
        (x,) = promote_dtype(x, dtype=canonicalize_dtype(x, scale, dtype=self.dtype))
        y, mean, var = batch_standardized(x, scale, bias, EPSILON)
        if not self.is_initializing():
            count = x.size // width
            unbiased = var * (count / max(count - 1, 1))
            running_mean.value = 0.9 * running_mean.value + 0.1 * mean
            running_var.value = 0.9 * running_var.value + 0.1 * unbiased
        return y


class DropPath(nn.Module):
    """Drops a residual branch for whole samples, and scales the kept by 1 / (1 - rate)."""

    rate: float
    train: bool

    def __call__(self, x: Array) -> Array:
        if not self.train or self.rate == 0.0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        keep = jax.random.bernoulli(self.make_rng('dropout'), 1.0 - self.rate, shape)
        return jnp.where(keep, x / (1.0 - self.rate), jnp.zeros_like(x))


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    """The maximum over the last axis but one: [..., K, C] to [..., C].

    The gradient goes to one element, the first that attains the maximum, as PyTorch's does. (The
    gradient of `jnp.max`, which is shared by ties, came out wrong in large jitted programs on the
    CPU.)
    """
    return x.max(axis=-2)


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    top = x.max(axis=-2)
    size = x.shape[-2]
    iota = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 2)
    first = jnp.where(x == top[..., None, :], iota, size).min(axis=-2)
    return top, (kept(first), jnp.zeros((size, 0), x.dtype))


def _max_pool_backward(residual: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    first, like = residual
    shape = (*first.shape[:-1], like.shape[0], first.shape[-1])
    iota = jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 2)
    spread = jnp.broadcast_to(gradient[..., None, :], shape)
    return (jnp.where(iota == first[..., None, :], spread, jnp.zeros((), spread.dtype)),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)
