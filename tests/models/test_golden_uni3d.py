"""Uni3D's embedding is the reference's: see tests/golden/README.md."""

import functools

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core import trees
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model

GEOMETRY = {'num_groups': 64, 'group_size': 32}


@functools.cache
def fixture() -> tuple[Model, dict, dict[str, np.ndarray], np.ndarray]:
    """The model, the facts, the arrays and the coloured clouds [2, 1024, 6]."""
    facts, arrays = g.read('uni3d_s1')
    model = create_model('uni3d', 2, variant='tiny', geometry=GEOMETRY, readout=('aligned',))
    return model, facts, arrays, np.concatenate([arrays['points'], arrays['colors']], axis=-1)


def backbone(dtype: type) -> dict[str, trees.Tree]:
    """The fixture's weights, as variables of the backbone alone."""
    model, facts, _, _ = fixture()
    state = {key: g.weight(key, shape, facts['seed']) for key, shape in facts['state_dict']}
    tree, report = model.load_backbone(model.shapes(), state, 'uni3d')
    assert (report.new, report.left, report.widened) == ((), (), ())
    assert report.parameters == facts['parameters']
    own = {name: {'backbone': part['backbone']} for name, part in tree.items()}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), own)


def test_evaluation_in_float32_gives_the_reference() -> None:
    model, _, arrays, clouds = fixture()
    embed = jax.jit(functools.partial(model.module.apply, method='features'))
    g.assert_near(embed(backbone(jnp.float32), clouds), arrays['embedding'], 1e-4, 'embedding')


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_training_gives_the_reference(dtype: str) -> None:
    model, facts, arrays, clouds = fixture()
    with jax.enable_x64(dtype == 'float64'):
        tree = backbone(dtype)

        def loss(params: trees.Tree) -> tuple:
            found, updates = model.module.apply(
                {**tree, 'params': params},
                jnp.asarray(clouds, dtype),
                train=True,
                mutable=['batch_stats'],
                rngs={'dropout': jax.random.key(0)},
                method='features',
            )
            return jnp.square(found - arrays['target'].astype(dtype)).mean(), (found, updates)

        run = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (value, (found, updates)), gradients = run(tree['params'])
        g.assert_near(value, arrays['loss'], 1e-4, 'loss')
        g.assert_near(found, arrays['train_embedding'], 1e-4, 'embedding')
        g.assert_statistics(facts, g.torch_arrays(model, updates['batch_stats']))
        gradients = g.torch_arrays(model, gradients)
        assert not any(map(np.any, (gradients[key] for key in facts['no_gradient'])))
        errors = g.gradient_errors(facts, gradients, dtype)
    g.assert_gradients(errors, dtype)
