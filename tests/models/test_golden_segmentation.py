"""A part segmenter is right when the reference's weights and points give its numbers."""

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core import trees

# They are evaluated in every run of the suite; training them is slow.
TRAINING = [
    pytest.param(name, dtype, marks=pytest.mark.slow)
    for name in g.SEGMENTERS
    for dtype in ('float32', 'float64')
]


@pytest.mark.parametrize('name', g.SEGMENTERS)
def test_evaluation_in_float32_gives_the_reference(name: str) -> None:
    facts, arrays = g.read(f'{name}_s1')
    golden = g.model(name)
    tree = g.variables(name, facts, jnp.float32)
    assert trees.count(tree['params']) == facts['parameters']
    logits = jax.jit(golden.module.apply)(tree, arrays['points'], arrays['category'])
    found = np.asarray(jax.nn.log_softmax(logits))
    g.assert_near(found[:, :64], arrays['log_probs_first64'], 1e-4, 'log probabilities')
    g.assert_near(g.probe('log_probs', found), arrays['log_probs_probe'], 1e-4, 'their probe')


@pytest.mark.parametrize(('name', 'dtype'), TRAINING)
def test_training_gives_the_reference(name: str, dtype: str) -> None:
    """Loss, statistics and the gradient of every parameter, jitted, without dropout."""
    facts, arrays = g.read(f'{name}_s1')
    with jax.enable_x64(dtype == 'float64'):
        golden = g.model(name)
        tree = g.variables(name, facts, dtype)
        (loss, statistics), gradients = training_pass(golden, tree, arrays, dtype)
        g.assert_near(loss, arrays['loss'], 1e-4, 'loss')
        after = g.torch_arrays(golden, statistics)
        known = facts['batch_stats_after_probes']
        g.assert_statistics(facts, {key: after[key] for key in after if key in known})
        gradients = g.torch_arrays(golden, gradients)
    assert not any(np.any(gradients[key]) for key in facts['no_gradient'])
    g.assert_gradients(g.gradient_errors(facts, gradients, dtype), dtype)


def training_pass(golden: g.Model, tree: dict, arrays: dict, dtype: str) -> tuple:
    """(loss, statistics), gradients: one jitted pass in training mode."""

    def loss(p: trees.Tree) -> tuple:
        logits, updates = golden.module.apply(
            {**tree, 'params': p},
            arrays['points'].astype(dtype),
            arrays['category'],
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': jax.random.key(0)},
        )
        log_probs = jax.nn.log_softmax(logits)
        labels = jnp.asarray(arrays['labels'])[..., None]
        return -jnp.take_along_axis(log_probs, labels, -1).mean(), updates['batch_stats']

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(tree['params'])
