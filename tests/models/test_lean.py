"""Operations with derivatives of their own: those of their definitions, and nothing more kept."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.models import lean
from point_ft_jax.models.recomputation import keeping

SIZES = {'gelu': ((2, 3, 4),), 'attention': ((2, 5, 2, 4), (2, 7, 2, 4), (2, 7, 2, 4))}
MASK = np.random.default_rng(9).random((2, 1, 5, 7)) < 0.6


def masked(operation: Callable) -> Callable:
    return lambda q, k, v: operation(q, k, v, jnp.asarray(MASK).at[..., 0].set(True))


PAIRS = {
    'gelu': ('gelu', lean.gelu, lean.plain_gelu),
    'attention': ('attention', lean.attention, lean.plain_attention),
    'masked attention': ('attention', masked(lean.attention), masked(lean.plain_attention)),
}


def inputs(name: str, dtype: jnp.dtype, lead: tuple[int, ...] = ()) -> list[jax.Array]:
    r = np.random.default_rng(0)
    return [jnp.asarray(3 * r.standard_normal(lead + size), dtype) for size in SIZES[name]]


def gradients(operation: Callable, arguments: list[jax.Array]) -> tuple[jax.Array, ...]:
    def total(*arguments: jax.Array) -> jax.Array:
        out = operation(*arguments)
        return (out * jnp.sin(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)).sum()

    return jax.jit(jax.grad(total, tuple(range(len(arguments)))))(*arguments)


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize(('type_', 'within'), [('float64', 1e-13), ('bfloat16', 0.05)])
def test_the_derivative_is_that_of_the_definition(pair: str, type_: str, within: float) -> None:
    name, operation, definition = PAIRS[pair]
    with jax.enable_x64(type_ == 'float64'):
        arguments = inputs(name, jnp.dtype(type_))
        out, plain = jax.jit(operation)(*arguments), jax.jit(definition)(*arguments)
        assert out.dtype == jnp.dtype(type_)
        np.testing.assert_array_equal(out, plain)
        wide = [a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in arguments]
        expected = gradients(definition, wide)
        for own, one in zip(gradients(operation, arguments), expected, strict=True):
            assert own.dtype == jnp.dtype(type_)
            np.testing.assert_allclose(
                own.astype(one.dtype), one, atol=within * float(jnp.abs(one).max())
            )


@pytest.mark.parametrize('pair', PAIRS)
def test_members_of_a_population_have_each_their_own_derivative(pair: str) -> None:
    name, operation, _ = PAIRS[pair]
    arguments = inputs(name, jnp.float32, (3,))
    together = jax.vmap(lambda *a: gradients(operation, list(a)))(*arguments)
    for member in range(3):
        alone = gradients(operation, [a[member] for a in arguments])
        for both, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(both[member], one, atol=1e-5)


@pytest.mark.parametrize('pair', PAIRS)
def test_what_is_kept_is_the_inputs_and_the_probabilities(pair: str) -> None:
    name, operation, _ = PAIRS[pair]
    arguments = inputs(name, jnp.float32)
    kept = jax.eval_shape(lambda *a: jax.vjp(operation, *a)[1], *arguments)
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(kept) if leaf.dtype == jnp.float32)
    weights = [2 * 2 * 5 * 7] if name == 'attention' else []
    assert sizes == sorted([a.size for a in arguments] + weights)


def test_what_waits_for_a_gradient_is_the_same_number() -> None:
    value = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(lean.wait(value, jnp.ones((2, 4, 5))), value)
    assert np.isnan(lean.wait(value, jnp.full((2, 1), jnp.nan))).all()


def test_a_choice_of_memory_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="memory is 'none'; expected one of fast, balanced"):
        keeping('none', lean.gelu)
