"""Operations on rows of features, [..., C], with derivatives that a CPU computes fast.

Automatic derivatives of these sum thousands of rows entry by entry, and transpose a gradient before
a product that could read it in its own layout. Each operation computes its plain form; only the
derivative is written by hand.
"""

import functools

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array

FOLD = 8  # rows that are summed entry by entry before the product


@jax.custom_vjp
def column_sum(x: Array) -> Array:
    """The sum [C] of `x` [..., C] over all axes but the last, in float32 at least."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # XLA sums few rows at the speed of memory, fused with what they are computed from; thousands of
    # rows it sums column by column. So rows are summed in eights, and these sums by a product with
    # ones. One axis is divided, and no two are merged: a batch may be spread over devices.
    axis = next((a for a in range(x.ndim - 2, -1, -1) if x.shape[a] % FOLD == 0), None)
    if axis is not None:
        shape = (*x.shape[:axis], -1, FOLD, *x.shape[axis + 1 :])
        wide = wide.reshape(shape).sum(axis + 1)
    rows = wide.reshape(-1, x.shape[-1])
    ones = jnp.ones((1, len(rows)), rows.dtype)
    return jnp.matmul(ones, rows, precision=jax.lax.Precision.HIGHEST)[0]


def _column_sum_forward(x: Array) -> tuple[Array, Array]:
    return column_sum(x), jnp.zeros((*x.shape, 0), x.dtype)


def _column_sum_backward(like: Array, gradient: Array) -> tuple[Array]:
    return (_repeat(gradient, like.shape[:-1]).astype(like.dtype),)


column_sum.defvjp(_column_sum_forward, _column_sum_backward)


def along_last(vector: Array, like: Array) -> Array:
    """A [C] vector repeated to the shape of `like` [..., C]."""
    return _repeat(vector, like.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _repeat(vector: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(vector.reshape((1,) * (len(shape) - 1) + (-1,)), shape)


def _repeat_forward(vector: Array, shape: tuple[int, ...]) -> tuple[Array, None]:
    return _repeat(vector, shape), None


def _repeat_backward(shape: tuple[int, ...], _: None, gradient: Array) -> tuple[Array]:
    return (column_sum(gradient).astype(gradient.dtype),)


_repeat.defvjp(_repeat_forward, _repeat_backward)


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
    """`x @ kernel`: [..., C] by [C, F] to [..., F], of one type."""
    return x @ kernel


def _product_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _product_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    rows, gradients = (a.reshape(-1, a.shape[-1]) for a in (x, gradient))
    to_kernel = jax.lax.dot_general(rows, gradients, (((0,), (0,)), ((), ())))
    to_x = jax.lax.dot_general(gradient, kernel, (((gradient.ndim - 1,), (1,)), ((), ())))
    return to_x, to_kernel


product.defvjp(_product_forward, _product_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardized(x: Array, epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) of every row, [..., C] in float32 at least."""
    return _standardize(x, epsilon)[0]


def _standardize(x: Array, epsilon: float) -> tuple[Array, tuple[Array, Array, Array]]:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = wide.mean(-1, keepdims=True)
    factor = jax.lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + epsilon)
    return (wide - mean) * factor, (x, mean, factor)


def _standardize_backward(epsilon: float, kept: tuple, gradient: Array) -> tuple[Array]:
    x, mean, factor = kept
    unit = (x.astype(gradient.dtype) - mean) * factor
    along = (gradient * unit).mean(-1, keepdims=True)
    d = factor * (gradient - gradient.mean(-1, keepdims=True) - unit * along)
    return (d.astype(x.dtype),)


standardized.defvjp(_standardize, _standardize_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_standardized(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    """`x` [..., C] standardised column by column, times `scale` [C], plus `bias` [C].

    Returns:
        The values, in the type of `x`; the mean and the biased variance [C] of the columns of `x`,
        in float32 at least, through which no gradient flows.
    """
    return _batch_standardize(x, scale, bias, epsilon)[0]


def _batch_standardize(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[tuple, tuple]:
    count = x.size // x.shape[-1]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = column_sum(wide) / count
    var = column_sum(jnp.square(wide - along_last(mean, wide))) / count
    factor = jax.lax.rsqrt(var + epsilon)
    gain = factor * scale
    gain, offset = (v.astype(x.dtype) for v in (gain, bias - mean * gain))
    y = x * along_last(gain, x) + along_last(offset, x)
    return (y, mean, var), (x, mean, factor, scale, bias)


def _batch_standardize_backward(
    epsilon: float, kept: tuple, gradients: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    x, mean, factor, scale, bias = kept
    gradient = gradients[0].astype(mean.dtype)
    count = x.size // x.shape[-1]
    unit = (x.astype(mean.dtype) - along_last(mean, x)) * along_last(factor, x)
    to_bias, to_scale = column_sum(gradient), column_sum(gradient * unit)
    d = gradient - along_last(to_bias / count, x) - unit * along_last(to_scale / count, x)
    d *= along_last(factor * scale, x)
    return d.astype(x.dtype), to_scale.astype(scale.dtype), to_bias.astype(bias.dtype)


batch_standardized.defvjp(_batch_standardize, _batch_standardize_backward)
