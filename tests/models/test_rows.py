"""Operations on rows: their values and derivatives are those of their definitions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.models import rows

EPSILON = 1e-5


def plain_standardized(x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True) + EPSILON)


def plain_batch(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    axes = tuple(range(x.ndim - 1))
    centred = x - x.mean(axes, keepdims=True)
    unit = centred / jnp.sqrt(jnp.square(centred).mean(axes, keepdims=True) + EPSILON)
    lead = (1,) * len(axes)
    return unit * scale.reshape(*lead, -1) + bias.reshape(*lead, -1)


# An operation, its definition, and the shapes of its arguments; the first shapes of each have an
# axis of a multiple of FOLD rows, the others none.
CASES = {
    'sum': (rows.column_sum, lambda x: x.sum((0, 1)), [((3, 16, 4),), ((16, 3, 4),), ((3, 5, 4),)]),
    'product': (rows.product, jnp.matmul, [((2, 3, 4), (4, 5))]),
    'repeated': (
        lambda v, x: rows.along_last(v, x) * x,
        lambda v, x: jnp.broadcast_to(v.reshape((1,) * (x.ndim - 1) + (-1,)), x.shape) * x,
        [((4,), (2, 8, 4)), ((4,), (3, 4))],
    ),
    'standardized': (lambda x: rows.standardized(x, EPSILON), plain_standardized, [((2, 3, 6),)]),
    'batch': (
        lambda *a: rows.batch_standardized(*a, EPSILON)[0],
        plain_batch,
        [((8, 3, 4), (4,), (4,)), ((3, 4), (4,), (4,))],
    ),
}
SIZED = [(name, sizes) for name, case in CASES.items() for sizes in case[2]]


def both(operation: Callable, arguments: list[jax.Array]) -> tuple:
    """The value of `operation`, and the gradient of a sum over it with weights of either sign."""

    def total(*arguments: jax.Array) -> jax.Array:
        out = operation(*arguments)
        return (out * jnp.sin(1.0 + jnp.arange(out.size)).reshape(out.shape)).sum()

    return operation(*arguments), jax.grad(total, tuple(range(len(arguments))))(*arguments)


@pytest.mark.parametrize(('name', 'sizes'), SIZED)
def test_values_and_derivatives_are_those_of_the_definition(name: str, sizes: tuple) -> None:
    operation, definition, _ = CASES[name]
    r = np.random.default_rng(0)
    with jax.enable_x64(True):
        arguments = [jnp.asarray(2 + 3 * r.standard_normal(size)) for size in sizes]
        found, expected = (both(o, arguments) for o in (operation, definition))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_statistics_are_the_means_and_variances_of_columns() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 5, 3)), jnp.float32)
    _, mean, var = rows.batch_standardized(x, jnp.ones(3), jnp.zeros(3), EPSILON)
    np.testing.assert_allclose(mean, x.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 1)), rtol=1e-5)


def test_bfloat16_is_summed_in_float32_and_has_gradients_in_its_own_type() -> None:
    x = jnp.ones((16, 300, 2), jnp.bfloat16)
    total = rows.column_sum(x)
    assert total.dtype == jnp.float32
    np.testing.assert_array_equal(total, [4800, 4800])
    for operation in (rows.column_sum, lambda x: rows.standardized(x, EPSILON)):
        assert jax.grad(lambda x, o=operation: o(x).sum())(x).dtype == jnp.bfloat16


def test_a_frozen_kernel_costs_no_product() -> None:
    """XLA drops what nobody asks for: of the backward pass the gradient of the input is left."""
    x, kernel = jnp.ones((64, 64)), jnp.ones((64, 64))
    gradient = jax.jit(jax.grad(lambda x: jnp.square(rows.product(x, kernel)).sum()))
    assert gradient.lower(x).as_text().count('stablehlo.dot_general') == 2
