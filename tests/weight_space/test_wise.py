"""The models between a pre-trained and a fine-tuned one: exact ends, statistics, refusals."""

import jax
import numpy as np
import pytest
import small

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import features
from point_ft_jax.weight_space import wise
from point_ft_jax.weight_space.batch_statistics import make_reestimate

ALPHAS = (0.0, 0.5, 1.0)


def pair(method: str = 'full', **options: object) -> tuple:
    """A model, and two sets of variables that differ in every leaf."""
    built = small.build(method, **options)
    first, second = (built.init(jax.random.key(i)) for i in range(2))
    r = np.random.default_rng(0)

    def moved(leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf + 0.1 * r.uniform(0.5, 1, leaf.shape), np.float32)

    return built, jax.tree.map(np.asarray, first), jax.tree.map(moved, second)


def never(models: dict) -> dict:
    raise AssertionError('nothing is to be re-estimated here')


def same(a: dict, b: dict) -> None:
    """Bit by bit."""
    ours, theirs = trees.flatten(a), trees.flatten(b)
    assert ours.keys() == theirs.keys()
    for path, leaf in ours.items():
        assert np.asarray(leaf).tobytes() == np.asarray(theirs[path]).tobytes(), path


@pytest.mark.parametrize('choice', ['interpolated', 'reestimated'])
def test_the_ends_are_the_two_checkpoints_to_the_bit(choice: str) -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second)

    def zeros(models: dict) -> dict:
        return {'backbone': jax.tree.map(np.zeros_like, models['batch_stats']['backbone'])}

    def at(i: int) -> dict:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[i], models)

    models = wise.models_along(path, ALPHAS, choice, zeros)
    same(at(2), second)  # the fine-tuned model, head and all
    for collection in ('params', 'batch_stats'):
        same(at(0)[collection]['backbone'], first[collection]['backbone'])
        same(at(0)[collection]['head'], second[collection]['head'])


def test_statistics_go_where_they_are_told() -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second)
    zero, one = (v['batch_stats']['backbone'] for v in (first, second))
    for choice, expected in (('pretrained', zero), ('finetuned', one)):
        found = wise.models_along(path, ALPHAS, choice, never)['batch_stats']['backbone']
        for i in range(3):
            same(jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], found), expected)
    half = wise.models_along(path, ALPHAS, 'interpolated', never)['batch_stats']['backbone']
    for a, b, c in zip(*map(jax.tree.leaves, (half, zero, one)), strict=True):
        np.testing.assert_allclose(a[1], (b + c) / 2, rtol=1e-5, atol=1e-6)


def test_reestimated_statistics_are_those_of_the_clouds_in_training() -> None:
    """With them, a batch norm in evaluation does what it does in training on the same clouds."""
    built, _, second = pair(geometry={'drop_path': 0.0, 'depth': 1})
    points = small.split(16, 3).points
    stack = features.stack(second)
    found = make_reestimate(built.module, make_mesh(), 16)(stack, points)
    same(found['head'], stack['batch_stats']['head'])
    variables = {**second, 'batch_stats': jax.tree.map(lambda a: np.asarray(a)[0], found)}
    run = jax.jit(
        lambda v, train: built.module.apply(
            v, points, train=train, method='features', mutable=['batch_stats']
        )[0],
        static_argnums=1,
    )
    np.testing.assert_allclose(run(variables, False), run(second, True), rtol=0.02, atol=0.02)
    assert np.abs(run(second, False) - run(second, True)).max() > 0.1


def test_what_a_pretraining_lacks_is_fine_tuned_at_every_alpha() -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second, lacking=['norm/scale', 'norm/bias'])
    assert path.taken == ('norm/scale', 'norm/bias')
    models = wise.models_along(path, ALPHAS, 'interpolated', never)['params']['backbone']
    for i in range(3):
        scale = np.asarray(models['norm']['scale'])[i]
        np.testing.assert_array_equal(scale, second['params']['backbone']['norm']['scale'])
    assert (np.asarray(models['cls_token'])[0] == first['params']['backbone']['cls_token']).all()


def test_a_tuned_delta_goes_from_the_bare_backbone_to_the_tuned_model() -> None:
    built, first, second = pair('lora', method_options={'rank': 2})
    path = wise.ends(built, first, second)
    models = wise.models_along(path, ALPHAS, 'interpolated', never)['params']
    qkv = models['tuner']['block_0.attention.qkv']
    own = second['params']['tuner']['block_0.attention.qkv']
    for i, alpha in enumerate(ALPHAS):
        np.testing.assert_array_equal(np.asarray(qkv['down']['kernel'])[i], own['down']['kernel'])
        np.testing.assert_allclose(
            np.asarray(qkv['up']['kernel'])[i], alpha * own['up']['kernel'], rtol=1e-6
        )


def test_models_of_different_structure_have_no_path() -> None:
    built, first, second = pair()
    del second['params']['backbone']['norm']
    with pytest.raises(UserError, match='params/backbone/norm/bias: only in the pre-trained model'):
        wise.ends(built, first, second)
    built, first, second = pair('vpt')
    with pytest.raises(UserError, match='no pre-trained end to interpolate from: its prompts'):
        wise.ends(built, first, second)
