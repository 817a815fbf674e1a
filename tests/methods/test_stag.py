"""STAG: where the gradients stop, what it shares, and what that saves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_methods import FAST, LABELS, POINTS, SMALL, same, small

from point_ft_jax.commands import memory
from point_ft_jax.core import trees
from point_ft_jax.methods import stag
from point_ft_jax.models import Model, create_model
from point_ft_jax.training import costs
from point_ft_jax.training.losses import cross_entropy

DEEP = {**SMALL, 'depth': 6}
OPTIONS = {'first': 2, 'width': 6, 'neighbors': 3}


def deep(method: str = 'stag', **options: object) -> Model:
    """A narrow model of six blocks."""
    return create_model('point_mae', 3, method=method, geometry=DEEP, method_options=options)


def total(model: Model, variables: dict, params: dict) -> jax.Array:
    logits = model.module.apply({**variables, 'params': params}, POINTS)
    return cross_entropy(logits, LABELS).mean()


@pytest.mark.parametrize('kept', ['fast', 'least'])
def test_no_gradient_passes_the_first_displacement(kept: str) -> None:
    """What comes before has zeros for gradients, not small numbers: weights of NaN leave them."""
    model = create_model(
        'point_mae', 3, method='stag', geometry={**DEEP, 'memory': kept}, method_options=OPTIONS
    )
    variables = model.init(jax.random.key(0))
    variables = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), variables)
    grad = jax.jit(jax.grad(functools.partial(total, model, variables)), compiler_options=FAST)
    gradients = trees.flatten(grad(variables['params']))
    early = ('backbone/tokenizer/*', 'backbone/cls_token', 'backbone/block_[012]/*')
    reached = set()
    for path, gradient in gradients.items():
        if trees.matches(path, early):
            assert not gradient.any(), path
        elif np.isnan(gradient).any():
            reached.add(path.split('/')[1])
    assert {'block_3', 'block_4', 'block_5'} <= reached


@pytest.mark.slow
def test_what_trains_has_the_gradient_that_it_had_without_the_cut() -> None:
    """Nothing that trains comes before: the cut is one of cost, not of the result."""
    model, uncut = (deep(**OPTIONS, detach=detach) for detach in (True, False))
    variables = model.init(jax.random.key(0))
    found, expected = (
        jax.jit(jax.grad(functools.partial(total, m, variables)), compiler_options=FAST)(
            variables['params']
        )
        for m in (model, uncut)
    )
    for part in ('tuner', 'head'):
        for a, b in zip(*map(jax.tree.leaves, (found[part], expected[part])), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert np.any(expected['backbone']['block_0']['mlp']['fc1']['kernel'])


def step_flops(method: str, **options: object) -> float:
    """Of a forward and backward pass over what the method trains."""
    model = deep(method, **options)
    variables = model.shapes()
    chosen = trees.select(variables['params'], model.method.trainable)
    trained, frozen = trees.partition(variables['params'], chosen)

    def loss(trained: dict, frozen: dict, statistics: dict) -> jax.Array:
        return total(model, {'batch_stats': statistics}, trees.combine(trained, frozen))

    return costs.count_flops(jax.grad(loss), trained, frozen, variables['batch_stats'])


def test_the_later_the_first_displacement_the_less_is_computed() -> None:
    flops = [step_flops('stag', **{**OPTIONS, 'first': first}) for first in (5, 2)]
    flops.append(step_flops('pointgst', local=4, rank=4))
    assert sorted(flops) == flops


@pytest.mark.slow
def test_a_step_takes_less_memory_than_that_of_other_methods() -> None:
    """Of the published model at batch 32, by XLA; compiled, not run."""
    case = {
        'backbone': 'point_mae',
        'variant': 'base',
        'batch': 32,
        'points': 1024,
        'geometry': {'num_groups': 64},
        'compute': 'float32',
        'memory': 'fast',
    }
    found = {
        method: memory.step_memory({**case, 'method': method})['temporaries']
        for method in ('stag', 'dapt', 'idpt', 'pointgst')
    }
    assert found.pop('stag') < 0.7 * min(found.values()), found


def test_maps_are_shared_as_published() -> None:
    def maps(**options: object) -> set[str]:
        model = create_model('point_mae', 15, method='stag', method_options=options)
        return set(model.shapes()['params']['tuner'])

    assert maps() == {'down_0', 'edges_6', 'up_6'}
    expected = {f'down_{i}' for i in range(4)}
    expected |= {f'{kind}_{i}' for kind in ('edges', 'up') for i in (3, 4, 5)}
    assert maps(first=3, share=3) == expected


def test_the_class_token_stays_as_it_was_loaded_or_drawn() -> None:
    """The reference trains its own maps and the head; on Point-MAE the token is a random one."""
    model = create_model('point_mae', 15, method='stag')
    frozen = ('backbone/cls_token', 'backbone/cls_pos')
    assert set(frozen) <= set(trees.flatten(model.shapes()['params']))
    assert not any(trees.matches(path, model.method.trainable) for path in frozen)


def test_an_edge_convolution_is_the_maximum_over_neighbours_of_two_maps() -> None:
    r = np.random.default_rng(0)
    state, neighbors = r.standard_normal((2, 5, 4)), r.integers(0, 5, (2, 5, 3))
    module = stag.EdgeConv()
    variables = module.init(jax.random.key(0), state, neighbors)
    found = module.apply(variables, state, neighbors)

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        own = variables['params'][name]
        return x @ np.asarray(own['kernel']) + np.asarray(own['bias'])

    for b, i in np.ndindex(2, 5):
        edges = [linear('own', state[b, i]) + linear('near', state[b, j]) for j in neighbors[b, i]]
        np.testing.assert_allclose(
            found[b, i], linear('out', np.max(edges, axis=0)), rtol=1e-5, atol=1e-6
        )


def test_without_the_last_norm_the_head_reads_the_plain_mean_of_all_tokens() -> None:
    model = small('point_mae', 'stag', method_options=OPTIONS | {'first': 0}, readout=('all_mean',))
    variables = model.init(jax.random.key(0))
    scaled = trees.flatten(variables['params'])
    scaled['backbone/norm/scale'] = 3 * scaled['backbone/norm/scale']
    both = (
        model.module.apply({**variables, 'params': params}, POINTS, method='features')
        for params in (variables['params'], trees.unflatten(scaled))
    )
    assert same(*both)
    assert jnp.shape(variables['params']['head']['layer_0']['kernel']) == (24, 256)
