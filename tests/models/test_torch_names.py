"""Published files: which keys load, which are new, which are left; and how many parameters."""

import functools

import numpy as np
import pytest
from key_lists import key_list, state_dict

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model, torch_names
from point_ft_jax.models.model import Model

TWICE = {'widths': (512, 256), 'batch_norm': True}  # MaskPoint's head "2x"
SIDE_LAYERS = {'first': 3, 'share': 3}
SCAN = {
    'geometry': {'group_sizes': (32, 16, 16)},
    'readout': ('patches_mean', 'patches_max_but_first'),
}

VARIANTS = {'pointgpt': 'small'}  # of the files; elsewhere 'base'


@functools.cache
def shapes(backbone: str, num_classes: int = 15) -> tuple[Model, dict]:
    model = create_model(backbone, num_classes, variant=VARIANTS.get(backbone, 'base'))
    return model, model.shapes()


@pytest.mark.parametrize(
    ('backbone', 'options', 'of_15', 'of_40'),
    [
        ('point_mae', {}, 22_093_327, 22_099_752),
        ('pcp_mae', {}, 22_338_959, 22_345_384),
        ('pointgpt', {'variant': 'small'}, 29_232_335, 29_238_760),
        ('pointgpt', {'variant': 'base'}, 120_461_263, 120_467_688),
        ('pointgpt', {'variant': 'large'}, 360_457_679, 360_464_104),
        ('act', {}, 22_093_327, 22_099_752),
        ('recon', {}, 22_093_327, 22_099_752),
        ('point_bert', {}, 22_059_535, 22_065_960),
        ('occo', {}, 22_059_535, 22_065_960),
        ('maskpoint', {}, 22_059_535, 22_065_960),
        ('maskpoint', {'head': TWICE}, 22_389_263, 22_395_688),
        ('point_femae', {}, 27_428_623, 27_435_048),
        ('recon_pp_causal', {'variant': 'small'}, 50_690_159, 50_696_584),
        ('recon_pp_causal', {}, 205_844_335, 205_850_760),
        ('recon_pp_causal', {'variant': 'large'}, 663_205_231, 663_211_656),
        ('point_m2ae', {}, 12_823_631, 12_830_056),
        ('point_m2ae', SCAN, 12_921_935, 12_928_360),
        ('recon_two_stream', {}, 43_571_215, 43_577_640),
        ('recon_two_stream', {'head': {'widths': ()}}, 43_130_127, None),
        ('recon_two_stream', {'variant': 'small'}, 19_733_263, None),
        ('recon_two_stream', {'variant': 'tiny'}, 11_353_231, None),
    ],
)
def test_the_models_have_the_published_number_of_parameters(
    backbone: str, options: dict, of_15: int, of_40: int | None
) -> None:
    for num_classes, expected in ((15, of_15), (40, of_40)):
        if expected:
            tree = create_model(backbone, num_classes, **options).shapes()['params']
            assert trees.count(tree) == expected


def test_recon_for_the_linear_svm_is_the_backbone_alone() -> None:
    _, variables = shapes('recon_two_stream')
    assert trees.count(variables['params']['backbone']) == 43_107_072


@pytest.mark.parametrize(
    ('file', 'backbone', 'num_classes', 'options'),
    [
        ('pmae_cls40', 'point_mae', 40, {}),
        ('pcp_cls15', 'pcp_mae', 15, {}),
        ('pointgpt_s_cls15', 'pointgpt', 15, {'variant': 'small'}),
        ('act_cls40', 'act', 40, {}),
        ('femae_cls15', 'point_femae', 15, {}),
        ('recon_pp_s_cls15', 'recon_pp_causal', 15, {'variant': 'small'}),
        ('pbert_cls40', 'point_bert', 40, {}),
        ('mp_cls40_2x', 'maskpoint', 40, {'head': TWICE}),
        ('m2ae_mn', 'point_m2ae', 40, {}),
        ('m2ae_scan', 'point_m2ae', 15, SCAN),
        ('recon_cls40', 'recon_two_stream', 40, {}),
        ('stag_std_cls15', 'point_mae', 15, {'method': 'stag'}),
        ('stag_sl_cls15', 'point_mae', 15, {'method': 'stag', 'method_options': SIDE_LAYERS}),
        ('ppt_cls15', 'point_mae', 15, {'method': 'ppt'}),
        ('gaprompt_cls15', 'point_mae', 15, {'method': 'gaprompt'}),
        ('pointlora_cls15', 'point_mae', 15, {'method': 'pointlora'}),
    ],
)
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_fine_tuned_file_loads_whole_and_is_exported_under_its_keys(
    file: str, backbone: str, num_classes: int, options: dict, wrapper: str
) -> None:
    model = create_model(backbone, num_classes, **options)
    state = state_dict(file, wrapper)
    loaded, report = model.load_all(model.shapes(), state, file)
    once = torch_names.merge_twins(state, model.torch_twins)
    assert len(report.loaded) + report.counters == len(once)
    assert report.parameters == trees.count(loaded['params'])
    if not wrapper:
        exported = {key: value.shape for key, value in model.export(loaded).items()}
        assert exported == {key: value.shape for key, value in state.items()}


@pytest.mark.parametrize(
    ('file', 'backbone', 'prefix', 'new', 'left'),
    [
        (
            'pmae_pre',
            'point_mae',
            'MAE_encoder.',
            ('cls_pos', 'cls_token'),
            {'mask_token': 1, 'decoder_pos_embed': 4, 'MAE_decoder': 46, 'increase_dim': 2},
        ),
        (
            'pcp_pre',
            'pcp_mae',
            'MAE_encoder.',
            ('cls_pos', 'cls_token'),
            {
                'mask_token': 1,
                'MAE_decoder': 46,
                'increase_dim': 2,
                'pred_pos_proj': 6,
                'mask_pos_token': 1,
            },
        ),
        (
            'pointgpt_s_pre',
            'pointgpt',
            'GPT_Transformer.',
            ('blocks.cls_norm.bias', 'blocks.cls_norm.weight', 'cls_pos', 'cls_token'),
            {},
        ),
        (
            'act_pre',
            'act',
            'ACT_encoder.',
            (),
            {
                'mask_token': 1,
                'proj_head': 2,
                'decoder_pos_embed': 4,
                'ACT_decoder': 24,
                'lm_head': 2,
                'cls_head': 4,
            },
        ),
        (
            'recon_pre',
            'recon_two_stream',
            'MAE_encoder.',
            (),
            {
                'mask_token': 1,
                'decoder_pos_embed': 4,
                'MAE_decoder': 46,
                'increase_dim': 2,
                'img_proj': 2,
                'text_proj': 2,
            },
        ),
        (
            'recon_pre',
            'recon',
            'MAE_encoder.',
            (),
            {
                'mask_token': 1,
                'decoder_pos_embed': 4,
                'MAE_decoder': 46,
                'increase_dim': 2,
                'img_proj': 2,
                'text_proj': 2,
                'img_token': 1,
                'img_pos': 1,
                'text_token': 1,
                'text_pos': 1,
                'blocks': 144,  # the second stream
            },
        ),
        (
            'femae_cls15',
            'point_femae',
            '',
            (),
            {'cls_head_finetune': 14},
        ),
        (
            'pbert_pre',
            'point_bert',
            'transformer_q.',
            (),
            {
                'mask_token': 1,
                'lm_head': 2,
                'cls_head': 4,
                'transformer_k': 165,
                'dvae': 71,
                'queue': 1,
                'queue_ptr': 1,
            },
        ),
        (
            'mp_pre',
            'maskpoint',
            'transformer_q.',
            (),
            {
                'mask_token': 1,
                'decoder': 13,
                'cls_head': 4,
                'bin_cls_head': 4,
                'transformer_k': 180,
                'queue': 1,
                'queue_ptr': 1,
            },
        ),
        (
            'm2ae_pre',
            'point_m2ae',
            '',
            ('norm.bias', 'norm.weight'),
            {
                'mask_token': 1,
                'h_encoder': 6,  # encoder_norms
                'h_decoder': 22,
                'decoder_pos_embeds': 8,
                'token_prop': 18,
                'decoder_norm': 2,
                'rec_head': 2,
            },
        ),
    ],
)
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_pretraining_file_gives_the_backbone(
    file: str, backbone: str, prefix: str, new: tuple, left: dict, wrapper: str
) -> None:
    model, variables = shapes(backbone)
    loaded, report = model.load_backbone(variables, state_dict(file, wrapper), file)
    assert report.prefix == prefix
    assert tuple(sorted(report.new)) == new
    assert parts(report.left) == left
    leaves = [leaf for tree in variables.values() for leaf in trees.flatten(tree['backbone'])]
    assert len(report.loaded) == len(leaves) - len(new)
    assert loaded['params']['head'] is variables['params']['head']


@pytest.mark.parametrize(
    ('variant', 'expected'),
    [
        ('tiny', 6_384_448),
        ('small', 22_823_680),
        ('base', 88_960_616),
        ('large', 307_350_312),
        ('giant', 1_017_358_056),
    ],
)
def test_uni3d_has_the_published_number_of_parameters(variant: str, expected: int) -> None:
    """Its tables count one more, the scale of its logits."""
    tree = create_model('uni3d', 15, variant=variant).shapes()['params']['backbone']
    assert trees.count(tree) == expected


@pytest.mark.parametrize('wrapper', ['module.point_encoder.', 'point_encoder.', ''])
def test_a_file_of_uni3d_in_half_precision_gives_the_backbone(wrapper: str) -> None:
    """Old files hold the keys' bias, zeros that are no parameter, and new ones do not."""
    model = create_model('uni3d', 15, variant='tiny')
    state = {key: v.astype(np.float16) for key, v in state_dict('uni3d_ti', wrapper).items()}
    scale = wrapper.removesuffix('point_encoder.') + 'logit_scale'
    state |= {
        scale: np.zeros((), np.float16),
        f'{wrapper}visual.blocks.0.attn.k_bias': np.zeros(192, np.float16),
    }
    loaded, report = model.load_backbone(model.shapes(), state, 'uni3d')
    assert report.prefix == wrapper.removeprefix('module.')
    assert (report.new, report.parameters) == ((), 6_384_448)
    assert {key.rsplit('.', 1)[-1] for key in report.left} == {'logit_scale', 'k_bias'}
    kernel = loaded['params']['backbone']['block_0']['attention']['qkv']['kernel']
    assert kernel.dtype == np.float32
    del state[f'{wrapper}visual.pos_embed']
    assert model.fit_backbone(model.shapes(), state).report.new == ('visual.pos_embed',)
    del state[f'{wrapper}cls_token']
    with pytest.raises(UserError, match=r'missing: cls_token \(1, 1, 192\)'):
        model.load_backbone(model.shapes(), state, 'uni3d')


@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_pretraining_file_of_point_femae_gives_the_backbone(wrapper: str) -> None:
    """Its norms stand there under two names, too; the later value counts."""
    keys = [(k, shape) for k, shape in key_list('femae_cls15') if 'cls_head' not in k]
    names = [f'{wrapper}MAE_encoder.{key}' for key, _ in keys]
    values = [np.full(shape, index, np.float32) for index, (_, shape) in enumerate(keys)]
    state = dict(zip(names, values, strict=True))
    state[f'{wrapper}mask_token_rand'] = np.zeros((1, 1, 384), np.float32)
    model, variables = shapes('point_femae')
    loaded, report = model.load_backbone(variables, state, 'femae')
    assert (report.prefix, report.new) == ('MAE_encoder.', ())
    assert report.left == ('mask_token_rand',)
    scale = loaded['params']['backbone']['block_3']['local']['edge_norm']['scale']
    later = state[f'{wrapper}MAE_encoder.blocks.blocks.3.cls.conv1.1.weight']
    np.testing.assert_array_equal(scale, later)


def parts(keys: tuple[str, ...]) -> dict[str, int]:
    """How many keys there are of each first word."""
    words = [key.split('.')[0] for key in keys]
    return {word: words.count(word) for word in words}


@pytest.mark.parametrize('method', ['dapt', 'pointlora'])  # the latter's files rename the backbone
def test_a_tuned_model_takes_the_backbone_and_keeps_its_tuner(method: str) -> None:
    model = create_model('point_mae', 15, method=method)
    variables = model.shapes()
    loaded, report = model.load_backbone(variables, state_dict('pmae_pre'), 'pmae_pre')
    assert set(report.new) == {'cls_token', 'cls_pos'}
    assert loaded['params']['tuner'] is variables['params']['tuner']


@pytest.mark.parametrize(
    ('file', 'backbone', 'left'),
    [
        ('pmae_cls40', 'point_mae', {'cls_head_finetune': 14}),
        ('pointgpt_s_cls15', 'pointgpt', {'blocks': 14}),  # post-pre-trained files are such
    ],
)
@pytest.mark.parametrize('prefix', ['', 'module.', 'base_model.'])
def test_a_fine_tuned_file_lends_its_backbone_to_another_class_count(
    file: str, backbone: str, left: dict, prefix: str
) -> None:
    model, variables = shapes(backbone, 40)
    _, report = model.load_backbone(variables, state_dict(file, prefix), file)
    assert (report.new, sum(parts(report.left).values())) == ((), sum(left.values()))
    if prefix != 'base_model.':
        assert parts(report.left) == left


def test_the_query_encoder_goes_before_its_moving_average() -> None:
    model, variables = shapes('point_bert')
    values = {'transformer_q.': np.float32(1), 'transformer_k.': np.float32(2)}
    state = {
        prefix + key.removeprefix('transformer_q.'): np.broadcast_to(value, shape)
        for key, shape in key_list('pbert_pre')
        if key.startswith('transformer_q.')
        for prefix, value in reversed(values.items())  # the average comes first in the file
    }
    both, _ = model.load_backbone(variables, state, 'both')
    average = {k: v for k, v in state.items() if k.startswith('transformer_k.')}
    alone, _ = model.load_backbone(variables, average, 'the average')
    assert np.unique(both['params']['backbone']['cls_token']) == 1
    assert np.unique(alone['params']['backbone']['cls_token']) == 2
