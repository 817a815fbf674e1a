"""The two sides of the Chamfer distance: their definition, gradients, blocks and memory."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import chamfer_distance

BACKENDS = ('reference', 'xla', 'cpu', 'auto')
# More points than others, one alone, clouds that several blocks hold and blocks of one cloud.
CASES = {'patches': (23, 32, 32), 'uneven': (3, 40, 7), 'one point': (2, 1, 9), 'same': (1, 8, 8)}


def clouds(case: str, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    batch, first, second = CASES[case]
    r = np.random.default_rng(0)
    a, b = (r.standard_normal((batch, size, 3)).astype(dtype) for size in (first, second))
    return (a, a.copy()) if case == 'same' else (a, b)


def definition(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    squared = jnp.square(a[:, :, None] - b[:, None]).sum(-1)
    return squared.min(2), squared.min(1)


@pytest.fixture(params=[None, 1024, 4 * 8 * 5])
def budget(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """The bytes of a block: as they are, some clouds, some points of one cloud."""
    if request.param:
        for name in ('BUDGET_BYTES', 'CPU_BUDGET_BYTES'):
            monkeypatch.setattr(sys.modules['kernels.chamfer'], name, request.param)
    return request.param


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('case', CASES)
def test_it_is_the_squared_distance_to_the_nearest_both_ways(
    case: str, backend: str, budget: int | None
) -> None:
    a, b = clouds(case)
    found = chamfer_distance(a, b, backend=backend)
    for one, expected in zip(found, definition(a, b), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize('case', ['patches', 'uneven'])
def test_gradients_are_those_of_the_definition(case: str, budget: int | None) -> None:
    with jax.enable_x64(True):
        a, b = clouds(case, np.float64)

        def total(pair: tuple, distance: object) -> jax.Array:
            to_second, to_first = distance(*pair)
            return jnp.sin(to_second).sum() + jnp.square(to_first).sum()

        found = jax.jit(jax.grad(lambda pair: total(pair, chamfer_distance)))((a, b))
        expected = jax.grad(lambda pair: total(pair, definition))((a, b))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('backend', BACKENDS)
def test_ties_go_to_the_first(backend: str) -> None:
    a = jnp.zeros((1, 1, 3))
    b = jnp.array([[[1.0, 0, 0], [-1.0, 0, 0]]])
    to_second = jax.grad(lambda b: chamfer_distance(a, b, backend=backend)[0].sum())(b)
    np.testing.assert_array_equal(to_second, [[[2.0, 0, 0], [0, 0, 0]]])


def test_what_is_no_number_is_nobodys_nearest(budget: int | None) -> None:
    a, b = clouds('uneven')
    b[:, 3] = np.nan
    to_second, to_first = chamfer_distance(a, b)
    rest = np.delete(b, 3, axis=1)
    np.testing.assert_allclose(to_second, definition(a, rest)[0], rtol=1e-6)
    assert np.isnan(to_first[:, 3]).all()


def test_large_clouds_never_have_all_their_distances_in_memory() -> None:
    """All of them, for two clouds of 8,192 points, would take 512 MiB."""
    shape = jax.ShapeDtypeStruct((2, 8192, 3), jnp.float32)

    def loss(a: jax.Array, b: jax.Array) -> jax.Array:
        return sum(way.mean() for way in chamfer_distance(a, b))

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(shape, shape).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 16 * 2**20


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((2, 5, 3), (3, 5, 3)), '2 first clouds, 3 second'),
        (((2, 5, 2), (2, 5, 3)), r'first is \(2, 5, 2\); expected \[B, N, 3\]'),
        (((2, 5, 3), (2, 0, 3)), r'second is \(2, 0, 3\)'),
    ],
)
def test_mistakes_are_said_when_traced(shapes: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chamfer_distance(*(np.zeros(shape, np.float32) for shape in shapes))
