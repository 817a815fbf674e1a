"""Adaptation at test time: where it must change nothing, that it does something, and mistakes."""

import flax.linen as nn
import jax
import numpy as np
import pytest
import small

from point_ft_jax import TunedModel, evaluate
from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import inference
from point_ft_jax.evaluation.adaptation import make_adapted
from point_ft_jax.evaluation.adaptation.purge_gate import (
    entering_tokens,
    source_distances,
    token_distances,
)
from point_ft_jax.models import Model, create_model

CLOUDS = small.split(10, 3)


@pytest.fixture(scope='module')
def built() -> Model:
    return small.build('full')


@pytest.fixture(scope='module')
def variables(built):
    return jax.tree.map(np.asarray, built.init(jax.random.key(0)))


@pytest.fixture(scope='module')
def plain(built, variables) -> np.ndarray:
    return inference.make_predict(built.module, make_mesh(), 4)(variables, CLOUDS.points)


def adapted(built, variables, name: str, **options: object) -> np.ndarray:
    return make_adapted(name, built.module, make_mesh(), 4, options)(variables, CLOUDS.points)


@pytest.mark.parametrize(
    'options',
    [
        {'lr': 0.0, 'variations': 2, 'steps': 2},
        pytest.param({'lr': 0.0}, marks=pytest.mark.slow),
    ],
)
def test_tent_with_rate_0_is_plain_evaluation(built, variables, plain, options) -> None:
    np.testing.assert_allclose(adapted(built, variables, 'tent', **options), plain, atol=1e-5)


def test_answers_that_adapting_has_made_infinite_are_not_scored(built, variables) -> None:
    with pytest.raises(
        UserError, match=r'not finite for \d+ of 10 clouds.* adapted by tent, which'
    ):
        adapted(built, variables, 'tent', lr=1e38)


@pytest.mark.slow
def test_tent_makes_predictions_surer(built, variables, plain) -> None:
    def entropy(logits: np.ndarray) -> float:
        log = jax.nn.log_softmax(logits)
        return float(-(np.exp(log) * log).sum(-1).mean())

    surer = adapted(built, variables, 'tent', lr=0.02, episodic=True)
    assert entropy(surer) < entropy(plain) - 0.01


@pytest.mark.slow
def test_tent_goes_on_from_batch_to_batch_unless_it_is_episodic(built, variables) -> None:
    online, episodic = (
        adapted(built, variables, 'tent', lr=0.02, episodic=one) for one in (False, True)
    )
    np.testing.assert_allclose(online[:4], episodic[:4], atol=1e-6)
    assert np.abs(online[4:] - episodic[4:]).max() > 1e-3


def test_tent_leaves_the_model_that_it_was_given(built, variables) -> None:
    before = jax.tree.map(np.copy, variables)
    adapted(built, variables, 'tent', lr=0.02)
    jax.tree.map(np.testing.assert_array_equal, before, variables)


@pytest.mark.parametrize(
    ('name', 'options'), [('purge_gate', {}), ('purge_gate_sp', {'source': CLOUDS.points})]
)
def test_purge_gate_with_n_0_is_plain_evaluation(built, variables, plain, name, options) -> None:
    found = adapted(built, variables, name, purged=(0,), **options)
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_what_is_known_is_what_is_like_the_tokens_of_the_source() -> None:
    r = np.random.default_rng(0)
    source = r.normal(3, 2, (500, 12))
    mean, deviation = source.mean(0), source.std(0)
    tokens = np.stack([mean, mean + 2 * deviation, mean - 5 * deviation])[None]
    found = np.asarray(source_distances(tokens, mean, deviation))
    np.testing.assert_allclose(found, np.sqrt(12) * np.array([[0, 2, 5]]), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_patch_that_no_source_cloud_has_is_left_out_first(built, variables) -> None:
    """By hand, from what enters the first block, of source clouds and of others."""
    odd = CLOUDS.points[:4].copy()
    odd[:, :4] += 30  # a few points far away: a patch of their own
    tokens = np.asarray(entering_tokens(built.module, variables, CLOUDS.points))
    mean, deviation = tokens.mean((0, 1)), tokens.std((0, 1))
    entered = np.asarray(entering_tokens(built.module, variables, odd))
    distances = np.asarray(source_distances(entered, mean, deviation))
    by_hand = np.sqrt((((entered - mean) / (deviation + 1e-6)) ** 2).sum(-1))
    np.testing.assert_allclose(distances, by_hand, rtol=1e-4)
    assert distances.max() > np.asarray(source_distances(tokens, mean, deviation)).max()
    np.testing.assert_allclose(entered.mean(-1), 0, atol=1e-5)
    found = adapted(built, variables, 'purge_gate_sp', purged=(0, 3), source=CLOUDS.points)
    assert found.shape == (10, 3)


def test_purge_gate_keeps_the_surest_of_its_answers(built, variables) -> None:
    def entropies(logits: np.ndarray) -> np.ndarray:
        log = jax.nn.log_softmax(logits)
        return np.asarray(-(np.exp(log) * log).sum(-1))

    alone = [adapted(built, variables, 'purge_gate', purged=(n,)) for n in (0, 3)]
    both = adapted(built, variables, 'purge_gate', purged=(0, 3))
    surest = np.minimum(*map(entropies, alone))
    np.testing.assert_allclose(entropies(both), surest, atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-4


def test_what_fits_is_what_the_first_blocks_class_token_looks_for(built, variables) -> None:
    """By hand, from what enters the first block: keys of the normed tokens with positions."""
    points, entered = CLOUDS.points[:2], []

    def listen(call, args, kwargs, context):
        if context.method_name == 'attend' and not entered:
            entered.append(np.asarray(args[0].positioned()))
        return call(*args, **kwargs)

    with nn.intercept_methods(listen):
        built.module.apply(variables, points, method='features')
    block = trees.flatten(variables['params']['backbone']['block_0'])
    x = entered[0] - entered[0].mean(-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5)
    qkv = (x * block['norm1/scale'] + block['norm1/bias']) @ block['attention/qkv/kernel']
    q, k = qkv[:, 0, :12], qkv[:, 1:, 12:24]
    cosines = np.einsum('bd,bgd->bg', q, k) / np.linalg.norm(k, axis=-1)
    cosines /= np.linalg.norm(q, axis=-1)[:, None]
    found = token_distances(built.module, variables, points)
    np.testing.assert_allclose(found, 1 - cosines, atol=1e-5)


@pytest.mark.slow
def test_evaluate_adapts_when_asked(built, variables) -> None:
    tuned = TunedModel(built, variables, {'classes': small.CLASSES, 'points': 32})
    plain = evaluate(tuned, CLOUDS).confusion
    for name, options in (('tent', {'lr': 0.0}), ('purge_gate', {'purged': (0,)})):
        found = evaluate(tuned, CLOUDS, adapt=name, adapt_options=options)
        np.testing.assert_array_equal(found.confusion, plain)


def test_mistakes_are_named(built, variables) -> None:
    mesh = make_mesh()
    with pytest.raises(
        UserError, match="adapt is 'tenth'; expected one of tent, purge_gate, purge_gate_sp"
    ):
        make_adapted('tenth', built.module, mesh, 4)
    with pytest.raises(UserError, match='tent has no option rate; it has lr, steps, variations'):
        make_adapted('tent', built.module, mesh, 4, {'rate': 1})
    with pytest.raises(UserError, match='lr is -1'):
        make_adapted('tent', built.module, mesh, 4, {'lr': -1})
    with pytest.raises(UserError, match="lr is 'fast'; expected a finite number"):
        make_adapted('tent', built.module, mesh, 4, {'lr': 'fast'})
    with pytest.raises(UserError, match='purged is 8; expected a list'):
        make_adapted('purge_gate', built.module, mesh, 4, {'purged': 8})
    with pytest.raises(UserError, match='batch_size is 0; expected 1 or more'):
        make_adapted('tent', built.module, mesh, 0)
    with pytest.raises(
        UserError, match=r'purged is \(0, 8\); expected one or more numbers in 0..7'
    ):
        make_adapted('purge_gate', built.module, mesh, 4, {'purged': (0, 8)})
    with pytest.raises(UserError, match="purge_gate_sp needs the option 'source': clouds"):
        make_adapted('purge_gate_sp', built.module, mesh, 4, {'purged': (0, 2)})
    levels = create_model('point_m2ae', 3, variant='tiny')
    with pytest.raises(UserError, match='HierarchicalTransformer has several levels'):
        make_adapted('purge_gate', levels.module, mesh, 4)
