"""torch-pointcloud's states load by name, give that library's logits, and are written back."""

import json
import pathlib

import golden_models
import jax
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model, torch_pointcloud
from point_ft_jax.models.model import Model

FOLDER = pathlib.Path(__file__).parents[1] / 'golden' / 'torch_pointcloud'
STATES = json.loads((FOLDER / 'states.json').read_text())
SMALL = {'width': 24, 'heads': 2, 'num_groups': 16, 'group_size': 8}
LEVELS = {
    'widths': (12, 24, 36),
    'depths': (1, 1, 1),
    'heads': 2,
    'num_groups': (32, 16, 8),
    'group_sizes': (8, 4, 4),
}
MODELS = {
    'point_mae': ('point_mae', {**SMALL, 'depth': 2}),
    'point_mae_parts': ('point_mae', {**SMALL, 'depth': 12}),
    'point_bert': ('point_bert', {**SMALL, 'depth': 2}),
    'point_m2ae': ('point_m2ae', LEVELS),
    'point_m2ae_parts': ('point_m2ae', LEVELS),
    'pointgpt': ('pointgpt', {**SMALL, 'depth': 2, 'generator_depth': 1}),
}

PROPAGATION = {'point_mae_parts': (96, 1024), 'point_m2ae_parts': (144, 1024)}


def state_of(name: str) -> dict[str, np.ndarray]:
    """A state as that library has it, with values drawn from its names."""
    return {key: golden_models.weight(key, shape, 1) for key, shape in STATES[name].items()}


def model_of(name: str) -> Model:
    backbone, geometry = MODELS[name]
    if name.endswith('_parts'):
        head = {'propagation': PROPAGATION[name]}  # theirs is as wide as the last level, times 4
        return create_model(backbone, 16, num_parts=50, geometry=geometry, head=head)
    variant = 'small' if backbone == 'pointgpt' else 'base'
    return create_model(backbone, 15, geometry=geometry, variant=variant)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        np.shape(a[key]) == np.shape(b[key]) and np.array_equal(a[key], b[key]) for key in b
    )


SLOW = ('point_m2ae', 'pointgpt')


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MODELS]
)
def test_a_state_gives_the_librarys_logits_and_is_written_back_to_the_bit(name: str) -> None:
    model, theirs = model_of(name), state_of(name)
    state, project = torch_pointcloud.as_reference(theirs)
    assert project == 'torch-pointcloud'
    variables, report = model.load_all(model.shapes(), state, name)
    assert not report.new
    assert not report.left
    arrays = np.load(FOLDER / 'outputs.npz')
    inputs = [arrays['points']]
    if name.endswith('_parts'):
        inputs.append(arrays['categories'])
    logits = np.asarray(jax.jit(model.module.apply)(variables, *inputs))
    logits = logits[:, ::16] if name.endswith('_parts') else logits
    np.testing.assert_allclose(logits, arrays[name], atol=3e-6, rtol=0)
    back = torch_pointcloud.from_reference(
        model.export(variables), model.spec.backbone, name.endswith('_parts')
    )
    assert same(back, theirs)


def test_renaming_alone_would_give_other_part_logits() -> None:
    """Coordinates come behind the features there: unmoved, the map loads, and is another one."""
    state, _ = torch_pointcloud.as_reference(state_of('point_mae_parts'))
    theirs = state_of('point_mae_parts')['propagation_0.mlp.lins.0.weight']
    ours = state['propagation_0.mlp_convs.0.weight'][..., 0]
    assert np.array_equal(ours[:, :3], theirs[:, -3:])
    assert np.array_equal(ours[:, 3:], theirs[:, :-3])


@pytest.mark.parametrize(
    ('name', 'backbone'),
    [
        ('point_mae_pretraining', 'point_mae'),
        ('point_bert_pretraining', 'point_bert'),
        ('point_m2ae_pretraining', 'point_m2ae'),
    ],
)
def test_pretraining_states_lend_their_backbone(name: str, backbone: str) -> None:
    geometry = {'width': 24, 'heads': 2, 'depth': 2} if backbone != 'point_m2ae' else {}
    model = create_model(backbone, 15, method='linear_probe', geometry=geometry)
    state, project = torch_pointcloud.as_reference(state_of(name))
    fit = model.fit_backbone(model.shapes(), state)
    assert project
    assert not fit.problems


def test_a_wrappers_name_in_front_is_dropped() -> None:
    wrapped = {f'model.{key}': value for key, value in state_of('point_mae').items()}
    plain, _ = torch_pointcloud.as_reference(state_of('point_mae'))
    state, project = torch_pointcloud.as_reference(wrapped)
    assert project
    assert same(dict(state), dict(plain))


def test_the_references_own_states_stay_as_they_are() -> None:
    model = model_of('point_bert')
    state = model.export(jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), model.shapes()))
    found, project = torch_pointcloud.as_reference(state)
    assert found is state
    assert project == ''


@pytest.mark.parametrize(('backbone', 'parts'), [('recon', False), ('point_bert', True)])
def test_models_that_the_library_lacks_are_refused(backbone: str, parts: bool) -> None:
    with pytest.raises(UserError, match=r'torch-pointcloud has no .* of .*; it has those of'):
        torch_pointcloud.from_reference({}, backbone, parts)
