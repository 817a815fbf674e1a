"""A model is right when the reference's weights and points give the reference's numbers."""

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax import params

STATISTICS = ('running_mean', 'running_var')

# Each architecture trains in one type in every run of the suite; the other half is marked slow.
EVERY_RUN = {
    ('point_mae', 'float64'),
    ('recon', 'float32'),
    ('dapt', 'float32'),
    ('dapt', 'float64'),
    ('idpt', 'float32'),
    ('point_bert', 'float32'),
    ('m2ae_scan', 'float64'),
}
TRAINING = [
    pytest.param(name, dtype, marks=() if (name, dtype) in EVERY_RUN else pytest.mark.slow)
    for name in g.MODELS
    for dtype in ('float32', 'float64')
]


def assert_near(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    error = np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max()
    assert error < tolerance, f'{what}: {error:.2g} of the largest entry, at most {tolerance}'


@pytest.mark.parametrize('name', g.MODELS)
def test_evaluation_in_float32_gives_the_reference(name: str) -> None:
    facts, arrays = g.read(f'{name}_s1')
    golden = g.model(name)
    tree = g.variables(name, facts, jnp.float32)
    assert params.count(tree['params']) == facts['parameters']
    found = g.evaluation_pass(golden, tree, arrays['points'])
    if 'tokens_probe' in arrays:
        assert_near(g.probe('tokens', found['tokens']), arrays['tokens_probe'], 1e-4, 'tokens')
    assert_near(found['head_input'], arrays['head_input'], 1e-4, 'head input')
    assert_near(found['logits'], arrays['logits'], 1e-4, 'logits')


@pytest.mark.parametrize(('name', 'dtype'), TRAINING)
def test_training_gives_the_reference(name: str, dtype: str) -> None:
    """Loss, logits, statistics and the gradient of every parameter, jitted, without dropout."""
    facts, arrays = g.read(f'{name}_s1')
    with jax.enable_x64(dtype == 'float64'):
        golden = g.model(name)
        tree = g.variables(name, facts, dtype)
        (loss, (logits, statistics)), gradients = g.training_pass(
            golden, tree, arrays, g.SMOOTHING.get(name, 0.0)
        )
        assert_near(loss, arrays['loss'], 1e-4, 'loss')
        assert_near(logits, arrays['train_logits'], 1e-4, 'logits')
        for key, value in g.torch_arrays(golden, statistics).items():
            if key.endswith(STATISTICS):
                found, expected = g.probe(key, value), facts['batch_stats_after_probes'][key]
                assert_near(found, np.array(expected), 1e-4, key)
        errors = gradient_errors(facts, g.torch_arrays(golden, gradients), dtype)
    if dtype == 'float64':
        assert max(errors.values()) < 1e-4, sorted(errors.items(), key=lambda e: -e[1])[:5]
    else:
        assert np.median(list(errors.values())) < 1e-2
        assert max(errors.values()) < 5e-2, sorted(errors.items(), key=lambda e: -e[1])[:5]


def gradient_errors(facts: dict, gradients: dict, dtype: str) -> dict[str, float]:
    """The relative error of each gradient's probe, where the type can be expected to hold it.

    A bias in front of a batch norm has no true gradient, its probe is rounding: errors are measured
    against 1e-6 of the largest norm at least, and in float32 only where the norm is 1e-4 of it.
    """
    probes = {key: np.array(value) for key, value in facts['gradient_probes'].items()}
    assert set(probes) == set(gradients)
    largest = max(norm for norm, _ in probes.values())
    floor = 1e-6 if dtype == 'float64' else 1e-4
    return {
        key: np.abs(g.probe(key, gradients[key]) - expected).max()
        / max(expected[0], 1e-6 * largest)
        for key, expected in probes.items()
        if dtype == 'float64' or expected[0] > floor * largest
    }
