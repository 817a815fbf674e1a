"""What is exported is read back, and gives the same numbers."""

import pathlib

import jax
import numpy as np
import pytest
import yaml
from small import build, split

from point_ft_jax.checkpoints import delta_folder, program_file, torch_file, weights
from point_ft_jax.checkpoints.run import load_run, read_delta, save
from point_ft_jax.commands import export
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel

FACTS = {
    'classes': ['ball', 'stick', 'plate'],
    'points': 32,
    'checkpoint': 'shipped:recon_tiny',
    'config': {'data': {'name': 'shapes'}},
    'scores': {'overall_accuracy': 0.8725},
}


def saved(folder: pathlib.Path, model: Model) -> TunedModel:
    """A run in `folder`, as a fit leaves it."""
    facts = {name: value for name, value in FACTS.items() if name != 'scores'}
    run = TunedModel(model, model.init(jax.random.key(0)), facts, (), FACTS['scores'])
    save(run, folder)
    return run


def equal(a: trees.Tree, b: trees.Tree) -> bool:
    a, b = trees.flatten(a), trees.flatten(b)
    return a.keys() == b.keys() and all(np.array_equal(a[path], b[path]) for path in a)


def test_safetensors_hold_what_a_pth_holds(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('safetensors', reason='pip install safetensors')
    run = saved(tmp_path / 'run', build('full', 'point_mae'))
    for name in ('a.pth', 'a.safetensors'):
        assert '64 keys' in export.export(str(tmp_path / 'run'), str(tmp_path / name))
        state = weights.read(tmp_path / name).state
        variables, _ = run.model.load_all(run.model.shapes(), state, name)
        assert equal(variables['params'], run.variables['params'])
    assert (
        weights.read(tmp_path / 'a.safetensors').beside['classes'] == '["ball", "stick", "plate"]'
    )
    half = tmp_path / 'half.safetensors'
    export.export(str(tmp_path / 'run'), str(half), dtype='bfloat16')
    assert weights.read(half).state['cls_token'].dtype.name == 'bfloat16'


def test_names_of_torch_pointcloud_are_written_and_read(tmp_path: pathlib.Path) -> None:
    run = saved(tmp_path / 'run', build('full', 'point_mae'))
    export.export(str(tmp_path / 'run'), str(tmp_path / 'a.pth'), names='torch-pointcloud')
    state, _ = torch_file.state_dict(tmp_path / 'a.pth')
    assert state['encoder.local_mlp.lins.0.weight'].shape == (128, 3)
    found = weights.read(tmp_path / 'a.pth')
    assert found.project == 'torch-pointcloud'
    variables, _ = run.model.load_all(run.model.shapes(), found.state, 'a.pth')
    assert equal(variables['params'], run.variables['params'])


def test_a_tuner_has_no_place_there(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / 'run', build('dapt', 'point_mae'))
    with pytest.raises(UserError, match=r'no tuning methods.*point-ft merge'):
        export.export(str(tmp_path / 'run'), str(tmp_path / 'a.pth'), names='torch-pointcloud')


def test_a_program_takes_any_number_of_clouds(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('flatbuffers', reason='pip install flatbuffers')
    run = saved(tmp_path / 'run', build('dapt'))
    path = tmp_path / 'a.stablehlo'
    assert 'for clouds of 32 points' in export.export(str(tmp_path / 'run'), str(path))
    program = program_file.read(path)
    for size in (1, 5):
        clouds = split(size, 0).points
        expected = run.model.module.apply(run.variables, clouds)
        np.testing.assert_allclose(program(clouds), expected, atol=1e-5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match='no program of jax'):
        program_file.read(path)


def test_onnx_is_refused_with_the_reason_and_a_way_out(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r'jax2onnx.*orbax-checkpoint.*--format=stablehlo'):
        export.export(str(tmp_path), str(tmp_path / 'a.onnx'))


def test_an_ending_without_a_format_lists_those_there_are(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match='say which with --format'):
        export.export(str(tmp_path), str(tmp_path / 'a.bin'))


def test_a_delta_to_give_away_has_a_card_and_is_read_back(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('safetensors', reason='pip install safetensors')
    run = saved(tmp_path / 'run', build('dapt'))
    gift = tmp_path / 'gift'
    line = export.export(str(tmp_path / 'run'), str(gift), licence='apache-2.0', form='delta')
    assert line == f'wrote {gift}: README.md, delta.json, delta.safetensors, spec.json'
    _, header, text = (gift / 'README.md').read_text().split('---\n', 2)
    header = yaml.safe_load(header)
    assert header['license'] == 'apache-2.0'
    assert header['base_model'] == 'shipped:recon_tiny'
    assert header['datasets'] == ['shapes']
    assert 'point-cloud-classification' in header['tags']
    [result] = header['model-index'][0]['results']
    assert result['metrics'] == [{'type': 'overall_accuracy', 'value': 0.8725}]
    assert '87.25 %' in text
    assert 'point-ft predict THIS_FOLDER CLOUDS --backbone=shipped:recon_tiny' in text
    own = read_delta(gift)
    assert equal(own.params, read_delta(tmp_path / 'run').params)
    over = load_run(gift, str(tmp_path / 'run'))
    assert equal(over.variables, run.variables)


def test_a_damaged_gift_says_what_does_not_fit(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('safetensors', reason='pip install safetensors')
    saved(tmp_path / 'run', build('dapt'))
    saved(tmp_path / 'other', build('dapt', method_options={'rank': 2}))
    for name in ('run', 'other'):
        delta_folder.write(tmp_path / f'{name}_gift', read_delta(tmp_path / name))
    with pytest.raises(UserError, match='is not empty'):
        delta_folder.write(tmp_path / 'run_gift', read_delta(tmp_path / 'run'))
    arrays = tmp_path / 'run_gift' / 'delta.safetensors'
    sound = arrays.read_bytes()
    for place in (-1, -1000):
        changed = bytearray(sound)
        changed[place] ^= 1
        arrays.write_bytes(changed)
        with pytest.raises(UserError, match=r'delta\.safetensors is not what was written with'):
            read_delta(tmp_path / 'run_gift')
    (tmp_path / 'other_gift' / 'delta.safetensors').replace(
        tmp_path / 'run_gift' / 'delta.safetensors'
    )
    with pytest.raises(UserError, match=r'adapter/down/kernel: .*; expected '):
        read_delta(tmp_path / 'run_gift')
    (tmp_path / 'run_gift' / 'delta.json').write_text('{}')
    with pytest.raises(UserError, match='lacks the fingerprint'):
        read_delta(tmp_path / 'run_gift')
