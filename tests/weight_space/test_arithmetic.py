"""Arithmetic on trees: exact ends, what the functions mean, and what they refuse."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from point_ft_jax import weight_space
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.weight_space import arithmetic
from point_ft_jax.weight_space.arithmetic import interpolate


def tree(seed: int, dtype: object = np.float32) -> dict:
    """Values in which rounding, signed zeros and large numbers would show."""
    r = np.random.default_rng(seed)
    values = {
        f'backbone/block_{i}/mlp/kernel': (10.0**i) * r.standard_normal((5, 7)) for i in range(3)
    }
    values['backbone/norm/bias'] = np.array([-0.0, 0.0, 1e30, -1e-30])
    return trees.unflatten({path: value.astype(dtype) for path, value in values.items()})


def bits(tree: dict) -> dict[str, bytes]:
    return {path: np.asarray(leaf).tobytes() for path, leaf in trees.flatten(tree).items()}


def test_the_examples_of_the_documentation_run() -> None:
    result = doctest.testmod(arithmetic)
    assert result.attempted > 20
    assert result.failed == 0


@pytest.mark.parametrize('dtype', [np.float32, jnp.bfloat16])
@pytest.mark.parametrize('how', ['eager', 'jit', 'along', 'per layer', 'fisher'])
def test_both_ends_are_the_checkpoints_to_the_bit(how: str, dtype: object) -> None:
    theta0, theta1 = tree(0, dtype), tree(1, dtype)
    functions = {
        'eager': interpolate,
        'jit': jax.jit(interpolate),
        'along': lambda a, b, alpha: jax.tree.map(
            lambda leaf: leaf[1], arithmetic.along(a, b, (0.5, alpha))
        ),
        'per layer': lambda a, b, alpha: interpolate(a, b, {'*/norm/*': alpha, '*': alpha}),
        'fisher': lambda a, b, alpha: weight_space.fisher_interpolate(
            a, b, alpha, fisher1=jax.tree.map(lambda leaf: leaf * 0 + 3, a)
        ),
    }
    assert bits(functions[how](theta0, theta1, 0.0)) == bits(theta0)
    assert bits(functions[how](theta0, theta1, 1.0)) == bits(theta1)


def test_between_the_ends_it_is_the_weighted_mean_and_where_they_agree_nothing_moves() -> None:
    theta0, theta1 = tree(0), tree(1)
    found = trees.flatten(interpolate(theta0, theta1, 0.3))
    before, after = trees.flatten(theta0), trees.flatten(theta1)
    for path, leaf in found.items():
        expected = 0.7 * before[path].astype(np.float64) + 0.3 * after[path].astype(np.float64)
        np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, interpolate(theta0, theta0, 0.3), theta0))


def test_alphas_together_are_alphas_one_by_one_and_vmap_is_the_loop() -> None:
    theta0, theta1 = tree(0), tree(1)
    alphas = (0.0, 0.1, 0.7, 1.0)
    stacked = arithmetic.along(theta0, theta1, alphas)
    traced = jax.vmap(lambda a: interpolate(theta0, theta1, a))(jnp.array(alphas))
    for i, alpha in enumerate(alphas):
        one = bits(interpolate(theta0, theta1, alpha))
        assert bits(jax.tree.map(lambda leaf, i=i: leaf[i], stacked)) == one
    for a, b in zip(jax.tree.leaves(stacked), jax.tree.leaves(traced), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_every_layer_may_have_its_own_alpha_the_first_pattern_that_fits_counting() -> None:
    theta0, theta1 = tree(0), tree(1)
    found = interpolate(theta0, theta1, {'backbone/block_1/*': 1.0, '*/block_*': 0.5, '*': 0.0})
    paths, half = trees.flatten(found), trees.flatten(interpolate(theta0, theta1, 0.5))
    kernel = 'backbone/block_{}/mlp/kernel'
    np.testing.assert_array_equal(paths[kernel.format(1)], trees.flatten(theta1)[kernel.format(1)])
    np.testing.assert_array_equal(paths[kernel.format(2)], half[kernel.format(2)])
    np.testing.assert_array_equal(paths['backbone/norm/bias'], theta0['backbone']['norm']['bias'])


def test_task_vectors_lead_from_one_end_to_the_other_and_back() -> None:
    theta0, theta1 = tree(0), tree(1)
    vector = arithmetic.task_vector(theta0, theta1)
    there = arithmetic.add(theta0, vector)
    back = arithmetic.add(there, arithmetic.scale(vector, -1))
    half = arithmetic.add(theta0, arithmetic.scale(vector, 0.5))
    for a, b in ((there, theta1), (back, theta0), (half, interpolate(theta0, theta1, 0.5))):
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-4)


def test_a_soup_of_two_halves_is_half_way_and_of_one_is_itself() -> None:
    theta0, theta1 = tree(0), tree(1)
    for a, b in zip(
        jax.tree.leaves(arithmetic.soup([theta0, theta1], weights=(3, 1))),
        jax.tree.leaves(interpolate(theta0, theta1, 0.25)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    one = arithmetic.soup([theta0])
    assert jax.tree.all(jax.tree.map(np.array_equal, one, theta0))


def test_distance_grows_with_alpha_block_by_block() -> None:
    theta0, theta1 = tree(0), tree(1)
    whole = arithmetic.distance(theta0, theta1)
    assert list(whole) == [*(f'backbone/block_{i}' for i in range(3)), 'backbone/norm']
    part = arithmetic.distance(theta0, interpolate(theta0, theta1, 0.25))
    for block in ('backbone/block_0', 'backbone/block_2'):
        np.testing.assert_allclose(part[block], 0.25 * whole[block], rtol=1e-5)
    assert set(arithmetic.distance(theta0, theta0, relative=True).values()) == {0.0}


def test_a_graft_takes_what_matches_and_leaves_the_rest() -> None:
    theta0, theta1 = tree(0), tree(1)
    found = arithmetic.graft(theta0, theta1, ('backbone/block_0/*',))
    assert bits(found['backbone']['block_0']) == bits(theta1['backbone']['block_0'])
    assert bits(found['backbone']['block_1']) == bits(theta0['backbone']['block_1'])


def test_fisher_is_the_mean_squared_gradient_and_draws_towards_what_matters() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    theta = {'w': np.float32([0.1, -0.2, 0.3])}

    def log_likelihood(theta: dict, row: jax.Array) -> jax.Array:
        return jax.nn.log_sigmoid(theta['w'] @ row)

    found = weight_space.fisher(log_likelihood, theta, rows)['w']
    slopes = rows / (1 + np.exp(rows @ theta['w']))[:, None]
    np.testing.assert_allclose(found, np.square(slopes).mean(0), rtol=1e-4)
    zeros, ones = ({'w': np.full(3, v, np.float32)} for v in (0, 1))
    equal = weight_space.fisher_interpolate(zeros, ones, 0.3, zeros, zeros)['w']
    np.testing.assert_allclose(equal, 0.3, rtol=1e-5)  # both at the floor
    important = weight_space.fisher_interpolate(
        zeros, ones, 0.5, None, {'w': np.float32([0, 1, 9])}
    )
    np.testing.assert_allclose(important['w'], [1e-8, 0.5, 0.9], rtol=1e-5)


def test_of_a_product_one_factor_is_scaled_so_that_it_scales_with_alpha() -> None:
    method = small.build('lora', method_options={'rank': 2}).method
    r = np.random.default_rng(0)
    tuner = {
        'block_0.attention.qkv': {
            'down': {'kernel': r.standard_normal((4, 2)).astype(np.float32)},
            'up': {'kernel': r.standard_normal((2, 6)).astype(np.float32)},
        }
    }
    half = interpolate(arithmetic.at_identity(tuner, method.identity), tuner, 0.5)
    whole, part = (
        t['block_0.attention.qkv']['down']['kernel'] @ t['block_0.attention.qkv']['up']['kernel']
        for t in (tuner, half)
    )
    np.testing.assert_allclose(part, 0.5 * whole, rtol=1e-5)


MISTAKES = {
    'a leaf more': (lambda a, b: interpolate(a, {**b, 'z': np.zeros(1)}, 0.5), 'z: only in theta1'),
    'a leaf less': (
        lambda a, b: interpolate(a, {'backbone': {'norm': b['backbone']['norm']}}, 0.5),
        'backbone/block_0/mlp/kernel: only in theta0',
    ),
    'another shape': (
        lambda a, b: interpolate({'x': np.zeros(2)}, {'x': np.zeros(3)}, 0.5),
        r'x: float64\[2\] in theta0, float64\[3\] in theta1',
    ),
    'another type': (
        lambda a, b: interpolate({'x': np.zeros(2, np.float32)}, {'x': np.zeros(2)}, 0.5),
        r'x: float32\[2\] in theta0, float64\[2\] in theta1',
    ),
    'beyond the ends': (lambda a, b: interpolate(a, b, 1.2), r'alpha is 1.2; expected .* 0\.\.1'),
    'before the ends': (lambda a, b: interpolate(a, b, -0.1), 'or extrapolate=True'),
    'no number': (
        lambda a, b: interpolate(a, b, float('nan'), extrapolate=True),
        'alpha is nan; expected a number',
    ),
    'a text': (lambda a, b: interpolate(a, b, 'half'), 'alpha is half; expected a number'),
    'several numbers': (lambda a, b: interpolate(a, b, np.ones(2)), 'expected a number in 0'),
    'an infinite weight': (
        lambda a, b: arithmetic.soup([a, b], (np.inf, 1)),
        'expected a number above 0',
    ),
    'one layer beyond': (lambda a, b: interpolate(a, b, {'*': 7}), 'alpha is 7'),
    'a layer without': (
        lambda a, b: interpolate(a, b, {'backbone/block_*': 0.5}),
        'no pattern of alpha fits backbone/norm/bias',
    ),
    'a layer that is not there': (
        lambda a, b: interpolate(a, b, {'blocks/*': 0.5, '*': 1}),
        "'blocks/\\*' fits no path; there are backbone/block_0",
    ),
    'a graft of nothing': (lambda a, b: arithmetic.graft(a, b, ('x',)), "'x' fits no path"),
    'an empty soup': (lambda a, b: arithmetic.soup([]), 'no tree is given'),
    'weights that miss one': (
        lambda a, b: arithmetic.soup([a, b], weights=[1]),
        '1 weights for 2 trees',
    ),
    'a soup of different trees': (
        lambda a, b: arithmetic.soup([a, {'x': np.zeros(1)}]),
        'x: only in tree 1',
    ),
    'no alpha': (lambda a, b: arithmetic.along(a, b, ()), 'no alpha is given'),
    'a tuner without identity': (
        lambda a, b: arithmetic.at_identity(a, small.build('vpt').method.identity),
        'no pre-trained end to interpolate from: its prompts are tokens',
    ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str) -> None:
    function, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        function(tree(0), tree(1))


def test_beyond_the_ends_when_asked() -> None:
    found = interpolate(tree(0), tree(1), 1.5, extrapolate=True)['backbone']['block_0']
    a, b = (tree(i)['backbone']['block_0']['mlp']['kernel'] for i in (0, 1))
    np.testing.assert_allclose(found['mlp']['kernel'], 1.5 * b - 0.5 * a, rtol=1e-4, atol=1e-5)
