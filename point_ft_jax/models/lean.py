"""Operations whose backward pass keeps their inputs, the probabilities of attention, and no more.

Automatic derivatives keep of GELU its input, `erfc` and `exp`; of attention the probabilities
twice, and queries, keys and values in two layouts. Each operation here has a plain form, the
definition, and a derivative that computes what is not kept again.
"""

import math

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array


def wait(value: Array, gradient: Array) -> Array:
    """`value` [B, ...] unchanged, but for XLA dependent on `gradient` [B, ...].

    Recomputing something from a value that the forward pass has used is a common subexpression:
    XLA would keep the first result for the second use. With this dependence it can't. Samples
    with a NaN as the first entry of their gradient become NaN; their gradients are NaN anyway.
    Unlike an optimisation barrier, XLA can fuse it.
    """
    first = gradient[(slice(None), *(slice(0, 1),) * (gradient.ndim - 1))]
    first = first.reshape(first.shape[:1] + (1,) * (value.ndim - 1)).astype(value.dtype)
    return jnp.where(first == first, value, first)


def plain_gelu(x: Array) -> Array:
    """The definition of `gelu`."""
    return jax.nn.gelu(x, approximate=False)


@jax.custom_vjp
def gelu(x: Array) -> Array:
    """The exact GELU, by the error function; its backward pass keeps `x`."""
    return plain_gelu(x)


def _gelu_forward(x: Array) -> tuple[Array, Array]:
    return plain_gelu(x), x


def _gelu_backward(x: Array, gradient: Array) -> tuple[Array]:
    wide = jnp.promote_types(x.dtype, jnp.float32)
    # Elementwise, where a gradient has the shape of its value: no device needs another's.
    z = jnp.where(gradient == gradient, x, gradient).astype(wide)
    chance = 0.5 * (1 + jax.lax.erf(z * math.sqrt(0.5)))
    density = jnp.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    found = (gradient.astype(wide) * (chance + z * density)).astype(x.dtype)
    # Several products and sums read it; without the barrier each computes it again.
    return (jax.lax.optimization_barrier(found),)


gelu.defvjp(_gelu_forward, _gelu_backward)


def plain_attention(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """The definition of `attention`."""
    return _attention_forward(q, k, v, mask)[0]


@jax.custom_vjp
def attention(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """softmax(q k' / sqrt(d)) v: [B, N, H, d], [B, M, H, d] twice to [B, N, H, d].

    Args:
        q, k, v: of one floating type; the softmax is in float32 at least.
        mask: bool, broadcasts to [B, H, N, M]; which keys a query sees. None for all.

    The backward pass keeps q, k and v as they are given and the probabilities in their type.
    """
    return plain_attention(q, k, v, mask)


def _attention_forward(q: Array, k: Array, v: Array, mask: Array | None) -> tuple[Array, tuple]:
    # By hand: the softmax of `jax.nn.dot_product_attention` is in float32 for float64 too. Heads
    # go in front of tokens first: a product that has to find them costs the CPU twice the time.
    wide = jnp.promote_types(q.dtype, jnp.float32)
    queries, keys, values = (jnp.swapaxes(a, 1, 2) for a in (q * q.shape[-1] ** -0.5, k, v))
    scores = jnp.einsum('bhnd,bhmd->bhnm', queries, keys, preferred_element_type=wide)
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(wide).min)
    weights = jax.nn.softmax(scores).astype(v.dtype)
    seen = jnp.einsum('bhnm,bhmd->bhnd', weights, values)
    return jnp.swapaxes(seen, 1, 2), (q, k, v, weights, mask)


def _attention_backward(kept: tuple, gradient: Array) -> tuple[Array, Array, Array, None]:
    q, k, v, weights, mask = kept
    scale = q.shape[-1] ** -0.5
    keys, values = (jnp.swapaxes(wait(a, gradient), 1, 2) for a in (k, v))
    wide = jnp.promote_types(q.dtype, jnp.float32)
    dv = _by_query(weights, gradient)
    dweights = jnp.einsum(
        'bhnd,bhmd->bhnm', jnp.swapaxes(gradient, 1, 2), values, preferred_element_type=wide
    )
    wide_weights = weights.astype(wide)
    dscores = wide_weights * (dweights - (dweights * wide_weights).sum(axis=-1, keepdims=True))
    if mask is not None:
        dscores = jnp.where(mask, dscores, 0)
    dscores = (scale * dscores).astype(q.dtype)
    dq = jnp.einsum('bhnm,bhmd->bhnd', dscores, keys)
    dk = _by_query(dscores, wait(q, gradient))
    return jnp.swapaxes(dq, 1, 2), dk, dv, None


def _by_query(weights: Array, rows: Array) -> Array:
    """Sums over queries: [B, H, N, M] and [B, N, H, d] to [B, M, H, d].

    Features go in front of queries: that way both are read as they lie, and the CPU takes half to a
    quarter of the time.
    """
    found = jnp.einsum('bhdn,bhnm->bhdm', jnp.transpose(rows, (0, 2, 3, 1)), weights)
    return jnp.transpose(found, (0, 3, 1, 2))


attention.defvjp(_attention_forward, _attention_backward)
