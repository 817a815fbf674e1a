"""A model is right when the reference's weights and points give the reference's numbers."""

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core import trees
from point_ft_jax.methods import pointgst

# Most architectures train in one type in every run of the suite; the others are marked slow.
EVERY_RUN = {
    ('point_mae', 'float64'),
    ('dapt', 'float32'),
}
TRAINING = [
    pytest.param(name, dtype, marks=() if (name, dtype) in EVERY_RUN else pytest.mark.slow)
    for name in g.MODELS
    for dtype in ('float32', 'float64')
]


EVALUATION = [
    pytest.param(name, marks=[pytest.mark.slow] * (name == 'stag_sl')) for name in g.MODELS
]


@pytest.mark.parametrize('name', EVALUATION)
def test_evaluation_in_float32_gives_the_reference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, arrays = g.read(f'{name}_s1')
    golden = g.model(name)
    give_bases(monkeypatch, arrays)
    tree = g.variables(name, facts, jnp.float32)
    assert trees.count(tree['params']) == facts['parameters']
    found = g.evaluation_pass(golden, tree, arrays['points'])
    if 'tokens_probe' in arrays:
        g.assert_near(g.probe('tokens', found['tokens']), arrays['tokens_probe'], 1e-4, 'tokens')
    g.assert_near(found['head_input'], arrays['head_input'], 1e-4, 'head input')
    g.assert_near(found['logits'], arrays['logits'], 1e-4, 'logits')


@pytest.mark.parametrize(('name', 'dtype'), TRAINING)
def test_training_gives_the_reference(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, logits, statistics and the gradient of every parameter, jitted, without dropout."""
    facts, arrays = g.read(f'{name}_s1')
    give_bases(monkeypatch, arrays)
    with jax.enable_x64(dtype == 'float64'):
        golden = g.model(name)
        tree = g.variables(name, facts, dtype)
        (loss, (logits, statistics)), gradients = g.training_pass(
            golden, tree, arrays, g.SMOOTHING.get(name, 0.0)
        )
        loose = g.LOOSE.get(name, 1) if dtype == 'float32' else 1
        g.assert_near(loss, arrays['loss'], loose * 1e-4, 'loss')
        g.assert_near(logits, arrays['train_logits'], loose * 1e-4, 'logits')
        g.assert_statistics(facts, g.torch_arrays(golden, statistics))
        errors = g.gradient_errors(facts, g.torch_arrays(golden, gradients), dtype)
    g.assert_gradients(errors, dtype, loose)


def give_bases(monkeypatch: pytest.MonkeyPatch, arrays: dict[str, np.ndarray]) -> None:
    """Has PointGST take the fixture's eigenbases: eigensolvers differ in signs and near-ties."""
    if 'basis' not in arrays:
        return

    def eigenbasis(centers: jax.Array, batch_wide: bool) -> jax.Array:
        basis = arrays['basis' if centers.ndim == 3 else 'local_basis']
        return jnp.asarray(basis[: len(centers)], centers.dtype)

    monkeypatch.setattr(pointgst, 'eigenbasis', eigenbasis)
