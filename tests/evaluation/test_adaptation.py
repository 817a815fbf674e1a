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
from point_ft_jax.evaluation.adaptation.purge_gate import token_distances
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


def test_purge_gate_with_n_0_is_plain_evaluation(built, variables, plain) -> None:
    found = adapted(built, variables, 'purge_gate', purged=(0,))
    np.testing.assert_allclose(found, plain, atol=1e-6)


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
    with pytest.raises(UserError, match="adapt is 'tenth'; expected one of tent, purge_gate"):
        make_adapted('tenth', built.module, mesh, 4)
    with pytest.raises(UserError, match="'rate'; there are lr, steps, variations"):
        make_adapted('tent', built.module, mesh, 4, {'rate': 1})
    with pytest.raises(UserError, match='lr is -1'):
        make_adapted('tent', built.module, mesh, 4, {'lr': -1})
    with pytest.raises(
        UserError, match=r'purged is \(0, 8\); expected one or more numbers in 0..7'
    ):
        make_adapted('purge_gate', built.module, mesh, 4, {'purged': (0, 8)})
    levels = create_model('point_m2ae', 3, variant='tiny')
    with pytest.raises(UserError, match='HierarchicalTransformer has several levels'):
        make_adapted('purge_gate', levels.module, mesh, 4)
