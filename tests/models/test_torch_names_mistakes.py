"""Files that do not fit, or whose names are unusual: what is said, and what is found."""

import numpy as np
import pytest
from key_lists import state_dict

from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model, torch_names
from point_ft_jax.models.model import Model

TWICE = {'widths': (512, 256), 'batch_norm': True}  # MaskPoint's head "2x"


def shapes(backbone: str, num_classes: int = 15) -> tuple[Model, dict]:
    model = create_model(backbone, num_classes)
    return model, model.shapes()


def test_everything_that_does_not_fit_is_in_one_message() -> None:
    model, variables = shapes('point_mae')
    state = state_dict('pmae_pre')
    del state['MAE_encoder.norm.bias']
    state['MAE_encoder.norm.weight'] = np.zeros(383, np.float32)
    state['MAE_encoder.norm.scale'] = np.zeros(384, np.float32)
    with pytest.raises(UserError) as error:
        model.load_backbone(variables, state, 'broken.pth')
    message = str(error.value)
    assert 'broken.pth does not fit this model' in message
    assert 'missing: norm.bias (384,)' in message
    assert 'unexpected: norm.scale' in message
    assert 'shape of norm.weight: found (383,), expected (384,)' in message
    assert message.count('\n') == 3


def test_a_file_of_another_model_is_refused_not_ignored() -> None:
    """A model that silently starts from scratch is what the references do here."""
    model, variables = shapes('point_mae')
    for file, word in (('act_pre', 'ACT_encoder 164'), ('pbert_pre', 'transformer_q 167')):
        with pytest.raises(UserError, match='none of the') as error:
            model.load_backbone(variables, state_dict(file), file)
        assert word in str(error.value)
    narrow = {k.removeprefix('transformer_q.'): v for k, v in state_dict('pbert_pre').items()}
    with pytest.raises(UserError, match=r'second_conv.3.weight: found \(256, 512, 1\), expected'):
        model.load_backbone(variables, narrow, 'a 256-wide tokenizer')


@pytest.mark.parametrize(
    ('file', 'backbone', 'other'),
    [('pcp_pre', 'point_mae', 'pcp_mae'), ('pmae_pre', 'pcp_mae', 'point_mae')],
)
def test_point_mae_and_pcp_mae_are_told_apart_by_their_position_map(
    file: str, backbone: str, other: str
) -> None:
    model, variables = shapes(backbone)
    with pytest.raises(UserError, match=rf'pos_embed\.0\.weight: found .*: choose {other}'):
        model.load_backbone(variables, state_dict(file), file)


@pytest.mark.parametrize(
    ('file', 'backbone', 'head'),
    [('pbert_cls40', 'point_bert', {}), ('mp_cls40_2x', 'maskpoint', TWICE)],
)
def test_published_files_with_40_outputs_say_so_to_15_classes(
    file: str, backbone: str, head: dict
) -> None:
    model = create_model(backbone, 15, head=head)
    with pytest.raises(UserError, match=r'weight: found \(40, 256\), expected \(15, 256\)'):
        model.load_all(model.shapes(), state_dict(file), file)


def test_a_part_without_a_published_name_is_named_in_the_error() -> None:
    model = create_model('point_m2ae', 15, method='dapt')
    with pytest.raises(UserError, match=r'tuner/level_0\.norm/gamma has no PyTorch name'):
        torch_names.torch_key('tuner/level_0.norm/gamma', model.torch_names)


def test_pointloras_factor_has_the_name_that_the_matrix_had() -> None:
    names = create_model('point_mae', 15, method='pointlora').torch_names
    found = [
        torch_names.torch_key(path, names)
        for path in (
            'tuner/block_3.attention.qkv/weight',
            'backbone/block_3/attention/qkv/kernel',
            'backbone/block_3/mlp/fc1/kernel',
        )
    ]
    assert found == [
        'blocks.blocks.3.attn.qkv.weight',
        'blocks.blocks.3.attn.qkv.linear.weight',
        'blocks.blocks.3.mlp.fc1.weight',
    ]


def test_a_report_reads_well() -> None:
    report = torch_names.LoadReport('MAE_encoder.', ('a.b', 'c'), 1234, (), ('x.y', 'x.z'), 3)
    assert str(report) == (
        "loaded 2 keys (1,234 parameters) below prefix 'MAE_encoder.'; new: none; left in the "
        'file: 2 (x 2); 3 step counters ignored'
    )


@pytest.mark.parametrize('wrapper', ['module.', '_orig_mod.'])
def test_two_models_in_one_file_are_not_taken_for_one(wrapper: str) -> None:
    model, variables = shapes('point_mae')
    state = state_dict('pmae_pre')
    wrapped = {wrapper + key: value for key, value in state.items()}
    model.load_backbone(variables, {**state, **wrapped}, 'the same twice')
    averaged = {key: value + 1 for key, value in wrapped.items()}
    for both in ({**state, **averaged}, {**averaged, **state}):
        with pytest.raises(UserError, match=r'two models in it: \d+ pairs of names are the same'):
            model.load_backbone(variables, both, 'two models')


def test_a_variance_below_zero_is_refused() -> None:
    model, variables = shapes('point_mae')
    state = state_dict('pmae_pre')
    name = next(key for key in state if key.endswith('running_var'))
    state[name] = np.full_like(state[name], -0.5)
    with pytest.raises(UserError, match=r'running_var: \d+ of \d+ variances are below 0'):
        model.load_backbone(variables, state, 'broken.pth')


def test_names_are_changed_by_whole_parts_only() -> None:
    """A part 'module' goes, wherever it stands; a word that ends so stays. So do twins."""
    state = dict.fromkeys(('module.a.module.b', 'submodule.b', 'a.modules.b'), np.zeros(1))
    assert list(torch_names.without_module(state)) == ['a.b', 'submodule.b', 'a.modules.b']
    twins = {'cls.conv1.1.': 'cls.bn1.'}
    both = {'module.cls.bn1.weight': 1, 'module.cls.conv1.1.weight': 2, 'x.cls.conv1.1.weight': 3}
    merged = torch_names.merge_twins(both, twins)
    assert merged == {'cls.bn1.weight': 2, 'x.cls.conv1.1.weight': 3}
    assert torch_names.add_twins(merged, twins) == {**merged, 'cls.conv1.1.weight': 2}


@pytest.mark.parametrize('wrapper', ['_orig_mod.', 'module._orig_mod.', 'net.', 'a.b.'])
def test_any_single_beginning_of_all_names_is_found(wrapper: str) -> None:
    model, variables = shapes('point_mae')
    plain = model.fit_backbone(variables, state_dict('pmae_pre'))
    found = model.fit_backbone(variables, state_dict('pmae_pre', wrapper))
    assert not found.problems
    assert found.report == plain.report


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (np.float32(np.nan), r'values of blocks.blocks.0.norm1.weight: 384 of 384 are NaN or inf'),
        (np.float64(1e300), r'values of blocks.blocks.0.norm1.weight: 384 of 384 are NaN or inf'),
        (np.int64(1), r'values of blocks.blocks.0.norm1.weight: of type int64; expected finite'),
        (np.bool_(True), r'blocks.blocks.0.norm1.weight: of type bool'),
    ],
)
def test_weights_that_are_no_finite_real_numbers_are_refused(
    value: np.generic, message: str
) -> None:
    model, variables = shapes('point_mae')
    state = state_dict('pmae_pre')
    state['MAE_encoder.blocks.blocks.0.norm1.weight'] = np.broadcast_to(value, (384,))
    with pytest.raises(UserError, match=message):
        model.load_backbone(variables, state, 'a.pth')
