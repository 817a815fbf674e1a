"""Pre-training is right when the reference's weights, points and mask give its numbers."""

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core import trees
from point_ft_jax.models import AutoencoderSpec, build, torch_names
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.training.tasks import reconstruction as objective

TEACHERS = {'image': 768, 'text': 512}
# fixture: backbone, options of `build`
MODELS = {
    'pre_point_mae': ('point_mae', {'geometry': {'num_groups': 64}}),
    'pre_pcp_mae': ('pcp_mae', {'geometry': {'num_groups': 64}}),
    'pre_pointgpt': ('pointgpt', {'variant': 'small', 'geometry': {'num_groups': 64}}),
    'pre_recon': ('recon_two_stream', {'geometry': {'num_groups': 64}, 'teachers': TEACHERS}),
    'pre_m2ae': ('point_m2ae', {}),
}
CHAMFER = {'pre_pointgpt': 'chamfer_l1_l2'}  # elsewhere L2
# The others are marked slow.
EVERY_RUN = {('pre_point_mae', 'float32')}
TRAINING = [
    pytest.param(name, dtype, marks=() if (name, dtype) in EVERY_RUN else pytest.mark.slow)
    for name in MODELS
    for dtype in ('float32', 'float64')
]


@pytest.mark.parametrize(('name', 'dtype'), TRAINING)
def test_pretraining_gives_the_reference(name: str, dtype: str) -> None:
    """Loss, statistics and the gradient of every parameter, jitted, without dropout."""
    facts, arrays = g.read(f'{name}_s1')
    backbone, options = MODELS[name]
    built = build(AutoencoderSpec(backbone, **options))
    shapes = built.shapes()
    assert trees.count(shapes['params']) == facts['parameters']
    state = {key: g.weight(key, shape, facts['seed']) for key, shape in facts['state_dict']}
    with jax.enable_x64(dtype == 'float64'):
        tree, report = built.load_all(shapes, state, name)
        assert report.new == report.left == ()
        tree = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)
        chamfer = CHAMFER.get(name, 'chamfer_l2')
        (loss, statistics), gradients = training_pass(built, tree, arrays, dtype, chamfer)
        g.assert_near(loss, arrays['loss'], 1e-4, 'loss')
        g.assert_statistics(facts, torch_arrays(built, statistics))
        errors = g.gradient_errors(facts, torch_arrays(built, gradients), dtype)
    g.assert_gradients(errors, dtype)


def training_pass(built: Autoencoder, tree: dict, arrays: dict, dtype: str, chamfer: str) -> tuple:
    """(loss, statistics), gradients: one jitted pass in training mode under the fixture's mask."""

    def loss(p: trees.Tree) -> tuple:
        found, updates = built.module.apply(
            {**tree, 'params': p},
            arrays['points'].astype(dtype),
            mask=arrays['mask'] if 'mask' in arrays else arrays['column_mask'],
            train=True,
            mutable=['batch_stats'],
        )
        targets = {
            name: arrays[f'{name}_feature'].astype(dtype)
            for name in TEACHERS
            if f'{name}_feature' in arrays
        }
        terms = objective.losses(found, targets, chamfer)
        return sum(terms.values()), updates['batch_stats']

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(tree['params'])


def torch_arrays(built: Autoencoder, tree: trees.Tree) -> dict[str, np.ndarray]:
    return torch_names.export_variables({'x': tree}, built.torch_names, built.conv)
