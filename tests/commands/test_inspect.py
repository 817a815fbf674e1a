"""The checkpoint inspector: what it says of published files, and that no mistake is a traceback."""

import importlib
import json
import pathlib

import jax
import numpy as np
import pytest
from key_lists import state_dict
from small import GEOMETRY

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.checkpoints.run import save
from point_ft_jax.checkpoints.weights import Weights
from point_ft_jax.commands import _candidates, _tuned_by, inspect
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import papers
from point_ft_jax.models import create_model
from point_ft_jax.models.tuned import TunedModel

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
SMALL_FILE = GOLDEN / 'torch_files' / 'zip.pth'


def fitting(state: dict) -> list[tuple[str, str]]:
    found = inspect.candidates(state)
    return [(c.backbone, c.variant) for c in found if c.fits]


@pytest.mark.slow
def test_a_pretraining_file_is_described() -> None:
    state = state_dict('pmae_pre', 'module.')
    text, status = inspect.describe('a.pth', Weights(state, {'epoch': 300, 'optimizer': {}}))
    assert status == 0
    lines = [' '.join(line.split()) for line in text.splitlines()]
    assert lines[0] == 'a.pth: a pre-training checkpoint'
    assert lines[1] == "209 keys, 29,006,432 parameters of float32, all below 'module.'"
    assert lines[2] == 'beside the weights: epoch 300, optimizer'
    assert 'MAE_encoder.blocks 132 21,279,744' in lines
    assert 'all 209 29,006,432' in lines
    assert 'point_mae base MAE_encoder. 154 2 53 0 0 0 yes' in lines
    assert 'point_mae (base): 21,825,024 parameters fit' in lines
    assert 'new: 2 (cls_pos 1, cls_token 1)' in lines
    assert 'left: 53 (mask_token 1, decoder_pos_embed 4, MAE_decoder 46, increase_dim 2)' in lines
    assert not any(line.startswith('recon (') for line in lines)  # it lacks a class token


def test_a_fine_tuned_file_is_described_with_its_head() -> None:
    text, status = inspect.describe('a.pth', Weights(state_dict('mp_cls40_2x'), {}), keys=True)
    assert status == 0
    assert 'a fine-tuned classifier, head 768 -> 512 -> 256 -> 40 (with batch norm)' in text
    assert 'beside the weights: nothing' in text
    assert '    cls_head_finetune.8.bias' in text
    for backbone in ('maskpoint', 'point_bert', 'occo'):  # one graph
        assert f'{backbone} (base): 21,858,816 parameters fit' in text


def test_both_forms_of_recon_are_offered() -> None:
    backbones = {('recon', 'base'), ('recon_two_stream', 'base')}
    assert set(fitting(state_dict('recon_pre'))) == backbones


def test_another_size_is_found() -> None:
    model = create_model('point_m2ae', 15, variant='tiny')
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), model.shapes())
    assert fitting(model.export(zeros)) == [('point_m2ae', 'tiny')]


def test_a_file_that_fits_nothing_says_what_is_nearest(capsys) -> None:
    assert inspect.main([str(SMALL_FILE)]) == 1
    out = capsys.readouterr().out
    assert 'It fits none of the backbones: act, ' in out
    assert 'The nearest is ' in out
    assert '- missing: ' in out
    assert 'more; --keys shows all' in out
    assert inspect.main([str(SMALL_FILE), '--keys']) == 1
    assert len(capsys.readouterr().out) > len(out)


def test_only_backbones_and_sizes_that_a_file_may_be_of_are_tried(monkeypatch) -> None:
    tried = []
    first = _candidates._candidate
    monkeypatch.setattr(
        _candidates,
        '_candidate',
        lambda name, variant, state: tried.append((name, variant)) or first(name, variant, state),
    )
    inspect.candidates({f'fc{i}.weight': np.zeros((2, 3), np.float32) for i in range(9)})
    assert tried == []
    uni3d = state_dict('uni3d_ti', 'point_encoder.')
    assert [c.variant for c in inspect.candidates(uni3d)] == ['tiny']
    assert {name for name, _ in tried} == {'uni3d'}
    assert ('uni3d', 'giant') not in tried


def test_weights_of_something_else_are_described_all_the_same(tmp_path, capsys) -> None:
    torch_file.write(tmp_path / 'a.pth', {'fc.weight': np.zeros((2, 3), np.float32)})
    assert inspect.main([str(tmp_path / 'a.pth')]) == 1
    out = capsys.readouterr().out
    assert 'weights without a head or a decoder' in out
    assert 'It fits none of the backbones' in out


@pytest.mark.parametrize('content', [None, b'', b'no checkpoint'])
def test_a_mistake_is_a_message(tmp_path, content: bytes | None) -> None:
    path = tmp_path / 'x.pth'
    if content is not None:
        path.write_bytes(content)
    for given in (path, tmp_path):
        with pytest.raises(UserError, match=str(given)):
            inspect.main([str(given)])


def test_a_file_of_uni3d_is_recognised_with_its_size() -> None:
    """Sizes differ in their keys, too: one map for queries, keys and values, or three."""
    state = state_dict('uni3d_ti', 'module.point_encoder.')
    assert fitting(state) == [('uni3d', 'tiny')]


def test_weights_are_found_by_key_and_prefix_and_odd_objects_listed(tmp_path, capsys) -> None:
    state = state_dict('pmae_pre', 'student._orig_mod.')
    twice = {**state, 'teacher.x': np.ones(2, np.float32)}
    path = tmp_path / 'a.pth'
    torch_file.write(path, {'odd': np.ones(1, np.float32)}, nets=twice)
    assert inspect.main([str(path)]) == 1
    capsys.readouterr()
    assert inspect.main([str(path), '--key=nets', '--prefix=student.']) == 0
    assert 'teacher.x' in capsys.readouterr().out
    with pytest.raises(UserError, match="the entry 'net' is not there; found a dict of 2"):
        inspect.main([str(path), '--key=net'])


@pytest.mark.slow
@pytest.mark.parametrize(
    ('keys', 'method'),
    [
        ('ppt_cls15', 'ppt'),
        ('pointlora_cls15', 'pointlora'),
        ('stag_sl_cls15', 'stag'),
        ('stag_std_cls15', 'stag'),
        ('gaprompt_cls15', 'gaprompt'),
    ],
)
def test_a_tuned_file_says_by_which_method_and_how_to_evaluate_it(keys: str, method: str) -> None:
    text, status = inspect.describe('a.pth', Weights(state_dict(keys), {}))
    assert status == 0
    assert f'tuned by {method}: ' in text
    assert ', 15 classes' in text
    assert (
        f'evaluate it with: point-ft evaluate --checkpoint=a.pth --config=configs/{method}.py'
        in (text)
    )
    assert 'fits none' not in text


def test_the_configs_that_are_advised_are_there() -> None:
    for name in (*_tuned_by.FULL.values(), *_tuned_by.OF_TABLES):
        variants = importlib.import_module(f'configs.{name}').VARIANTS
        assert {'pb_t50_rs', 'modelnet40'} <= set(variants) or variants == papers.TUNED
    text = _tuned_by.how_to_evaluate('a.pth', 'dapt', 'point_mae', 15)
    assert '--config=configs/dapt.py:point_mae_pb_t50_rs' in text[0]
    assert 'data of 7 classes' in _tuned_by.how_to_evaluate('a.pth', 'dapt', 'point_mae', 7)[0]
    assert _tuned_by.how_to_evaluate('a.pth', 'full', 'point_mae', None) == []


def test_a_genuine_dapt_state_is_recognised() -> None:
    facts = json.loads((GOLDEN / 'dapt_s1.json').read_text())
    state = {key: np.broadcast_to(np.float32(0), shape) for key, shape in facts['state_dict']}
    text, status = inspect.describe('a.pth', Weights(state, {}))
    assert status == 0
    assert 'tuned by dapt: act (base), 15 classes; ' in text
    assert 'point_mae, recon would take it too' in text
    assert '--checkpoint=a.pth --config=configs/dapt.py:act_pb_t50_rs --config.data.root' in text


def test_what_ships_and_runs_are_described(capsys, tmp_path) -> None:
    assert inspect.main(['shipped:recon_tiny']) == 0
    out = capsys.readouterr().out
    assert 'recon (tiny): 5,753,472 parameters fit' in out
    assert 'act (tiny)' not in out  # by its names alone it would fit, too
    assert 'fine-tune it with: python run.py --config=configs/recon_dapt.py:own' in out
    assert 'made as recon (tiny), drop_path 0.0, group_size 16, num_groups 32, by its own' in out
    with pytest.raises(UserError, match='there are shipped:point_m2ae_tiny, shipped:recon_tiny'):
        inspect.main(['shipped:none'])
    model = create_model('recon', 2, method='linear_probe', geometry=GEOMETRY)
    facts = {'classes': ['chair', 'table'], 'points': 64, 'checkpoint': 'shipped:recon_tiny'}
    save(TunedModel(model, model.init(jax.random.key(0)), facts), tmp_path / 'run')
    assert inspect.main([str(tmp_path / 'run')]) == 0
    out = capsys.readouterr().out
    assert 'a run: recon (base), method linear_probe, of 2 classes (chair, table)' in out
    assert f'evaluate it with: point-ft evaluate --checkpoint={tmp_path / "run"}' in out
    assert inspect.main([str(tmp_path / 'run' / 'delta')]) == 0
    assert 'a delta, recon (base), method linear_probe' in capsys.readouterr().out
