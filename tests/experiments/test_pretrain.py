"""A pre-training run, from a config to a report, and what a fine-tuning run makes of it."""

import contextlib
import json
import os
import pathlib
import signal
from collections.abc import Iterator

import h5py
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints import torch_file
from point_ft_jax.commands import evaluate, export
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import teachers
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import fitting, jobs
from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.config import pretraining as defaults
from point_ft_jax.training import metrics_log
from point_ft_jax.training.interrupt import Stopped

GEOMETRY = {
    'width': 12,
    'heads': 2,
    'depth': 1,
    'num_groups': 8,
    'group_size': 4,
    'drop_path': 0.0,
}
SHAPES = {'style': 'cad', 'num_points': 64, 'train_size': 60, 'test_size': 30}


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """Two epochs of a very small autoencoder on a few embedded shapes."""
    config = defaults()
    config.name = 'tiny'
    config.folder = str(folder)
    config.points = 64
    config.data.update(SHAPES)
    config.model.geometry.update(GEOMETRY)
    config.train.update(epochs=2, batch_size=15)
    config.optim.warmup = 1
    config.pretrain.decoder = ConfigDict({'decoder_depth': 1, 'decoder_heads': 2})
    config.pretrain.contrast = True
    config.update_from_flattened_dict(changes)
    return config


def fine_tuning(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """One epoch of a linear probe of the same backbone."""
    config = default()
    config.folder = str(folder)
    config.points = 64
    config.data.update(SHAPES)
    config.model.geometry.update(GEOMETRY)
    config.method.name = 'linear_probe'
    config.train.update(epochs=1, batch_size=15)
    config.optim.warmup = 0
    config.update_from_flattened_dict(changes)
    return config


def lines(folder: pathlib.Path) -> list[dict]:
    """The metrics of a seed, without what differs between two runs of the same bits."""
    return [{**line, 'timing': None} for line in metrics_log.read(folder / 'seed_0')]


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp('run')
    jobs.run(tiny(folder), 'python run.py')
    return folder


def test_a_run_leaves_a_report_with_curves_and_reconstructions(run: pathlib.Path) -> None:
    report = (run / 'report.md').read_text()
    for words in ('python run.py', 'random, 0.6 of the patches', 'chamfer_l2 + contrast by class'):
        assert words in report
    names = {path.name for path in run.iterdir()}
    assert {'curves.png', 'reconstructions.png', 'result.json', 'config.json'} <= names
    last = json.loads((run / 'result.json').read_text())['last']['0']
    assert last['test_reconstruction'] == lines(run)[-1]['test_reconstruction']
    assert {'reconstruction', 'contrast', 'gradient_norm'} <= set(lines(run)[0])
    first, second = (line['reconstruction'] for line in lines(run))
    assert second < first


def test_a_finished_run_is_read_back(run: pathlib.Path) -> None:
    before = (run / 'result.json').read_text()
    again = jobs.run(tiny(run), 'python run.py')
    assert [s.seed for s in again.record.seeds] == [0]
    assert json.loads(before)['seeds'] == json.loads((run / 'result.json').read_text())['seeds']


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(
    run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float, **values: object) -> None:
        if 'loss' in values:  # of a step, not before what is compiled
            os.kill(os.getpid(), signal.SIGINT)

    @contextlib.contextmanager
    def stopping(*_: object, **__: object) -> Iterator[object]:
        yield stop

    with monkeypatch.context() as patched:
        patched.setattr(fitting, 'progress', stopping)
        with pytest.raises(Stopped):
            jobs.run(tiny(tmp_path))
    assert len(lines(tmp_path)) < 2
    jobs.run(tiny(tmp_path))
    assert lines(tmp_path) == lines(run)
    straight, resumed = (saved.load_run(f, pretrained=True).variables for f in (run, tmp_path))
    jax.tree.map(np.testing.assert_array_equal, straight, resumed)


@pytest.mark.slow
def test_a_fine_tuning_run_takes_its_backbone(
    run: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    jobs.run(fine_tuning(tmp_path, **{'init.checkpoint': str(run)}))
    said = capsys.readouterr().err
    assert f'backbone: {run}: loaded ' in said
    assert "prefix 'MAE_encoder.'; new: none; left in the file" in said
    before = saved.load_run(run, pretrained=True).variables['params']['backbone']
    after = saved.load_run(tmp_path).variables['params']['backbone']
    for path in ('tokenizer', 'block_0', 'positions', 'norm'):
        jax.tree.map(np.testing.assert_array_equal, before[path], after[path])


def test_a_backbone_of_another_size_is_refused_with_all_that_is_wrong(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    changes = {'init.checkpoint': str(run), 'model.geometry.width': 24}
    with pytest.raises(UserError, match=r'(?s)does not fit this model.*shape of cls_token'):
        jobs.run(fine_tuning(tmp_path, **changes))


@pytest.mark.slow
def test_it_is_exported_whole_and_goes_on_from_there(
    run: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / 'pre.pth'
    export.export(str(run), str(path))
    jobs.run(
        tiny(
            tmp_path / 'more',
            **{'init.checkpoint': str(path), 'train.epochs': 1, 'optim.warmup': 0},
        )
    )
    assert f'autoencoder: {path}: loaded' in capsys.readouterr().err
    assert lines(tmp_path / 'more')[0]['reconstruction'] < lines(run)[0]['reconstruction']


def test_its_backbone_is_exported_by_itself_and_rounded(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'backbone.pth'
    export.export(str(run), str(path), part='backbone', dtype='bfloat16')
    state, _ = torch_file.state_dict(path)
    assert all(key.startswith('MAE_encoder.') for key in state)
    types = {k.rsplit('.')[-1]: v.dtype.name for k, v in state.items()}
    assert types['weight'] == types['bias'] == 'bfloat16'
    assert types['running_var'] == 'float32'
    with pytest.raises(UserError, match="no part 'tail'; the model has backbone, decoder, heads"):
        export.export(str(run), str(path), part='tail')


def test_it_is_no_classifier(run: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"job 'pretrain'; expected 'finetune'.*init\.checkpoint="):
        evaluate.evaluated(str(run), None, 16)


def features(clouds: int = 60, **changes: np.ndarray | None) -> dict[str, np.ndarray]:
    r = np.random.default_rng(0)
    arrays = {
        'image_feature': r.normal(size=(clouds, 3, 7)).astype(np.float32),
        'text_feature': r.normal(size=(clouds, 5)).astype(np.float32),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.slow
def test_teachers_features_are_learned_from(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / 'teachers.npz', **features())
    changes = {
        'model.backbone': 'recon_two_stream',
        'pretrain.teachers': str(tmp_path / 'teachers.npz'),
        'pretrain.contrast': False,
        'validation.fraction': 0.2,
        'select': 'validation',
    }
    jobs.run(tiny(tmp_path / 'run', **changes))
    assert {'image', 'text', 'reconstruction'} <= set(lines(tmp_path / 'run')[0])
    found = saved.load_run(tmp_path / 'run', pretrained=True).variables['params']['heads']
    assert found['image']['kernel'].shape == (12, 7)
    assert found['text']['kernel'].shape == (12, 5)


def clouds(number: int) -> Split:
    return Split(np.ones((number, 9, 3), np.float32), np.zeros(number, np.int32), ('a',))


@pytest.mark.parametrize('suffix', ['npz', 'h5'])
def test_features_stay_with_their_clouds(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f'teachers.{suffix}'
    arrays = features(text_feature=None)
    if suffix == 'npz':
        np.savez(path, **arrays)
    else:
        with h5py.File(path, 'w') as file:
            file['image_feature'] = arrays['image_feature']
    attached = teachers.attach(clouds(60), path)
    assert teachers.widths(attached) == {'image': 7}
    some = attached.take(np.array([5, 2]))
    np.testing.assert_array_equal(some.features['image'], arrays['image_feature'][[5, 2]])


def test_everything_wrong_with_a_file_of_features_is_said(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'teachers.npz'
    with pytest.raises(UserError, match=r"no such file of teachers' features.*image_feature"):
        teachers.attach(clouds(60), path)
    path.write_text('nothing')
    with pytest.raises(UserError, match=r"not a file of teachers' features"):
        teachers.attach(clouds(60), path)
    path.with_suffix('.h5').write_text('nothing')
    with pytest.raises(UserError, match=r"not a file of teachers' features"):
        teachers.attach(clouds(60), path.with_suffix('.h5'))
    np.savez(path, sound=np.ones(3))
    with pytest.raises(UserError, match='it has sound; expected image_feature or text_feature'):
        teachers.attach(clouds(60), path)
    broken = np.ones((60, 7))
    broken[[3, 9]] = np.nan
    np.savez(path, image_feature=broken, text_feature=np.ones(60))
    with pytest.raises(UserError) as error:
        teachers.attach(clouds(60), path)
    assert 'image_feature has no numbers for cloud 3, 9' in str(error.value)
    assert 'text_feature is float64 (60,); expected real numbers [clouds, width]' in str(
        error.value
    )
    np.savez(path, **features(59))
    with pytest.raises(UserError, match='of 59 clouds, and the training split has 60'):
        teachers.attach(clouds(60), path)


MISTAKES = {
    'unknown job': ({'job': 'dance'}, "there is no 'dance' among the jobs"),
    'too large a mask': ({'pretrain.mask_ratio': 1.0}, r'mask_ratio is 1\.0; expected a number'),
    'unknown mask': ({'pretrain.mask': 'half'}, "mask is 'half'; expected one of random, block"),
    'unknown distance': ({'pretrain.chamfer': 'l3'}, "pretrain.chamfer is 'l3'"),
    'unknown sampling': ({'pretrain.sample': 'some'}, "pretrain.sample is 'some'"),
    'no such teachers': ({'pretrain.teachers': 'gone.npz'}, 'gone.npz: there is no such file'),
    'no autoencoder': ({'model.backbone': 'act'}, 'act has no masked autoencoder'),
    'no class token': ({'model.backbone': 'point_mae'}, "contrast loss needs the token 'cls'"),
    'unknown option': ({'pretrain.decoder': ConfigDict({'depth': 1})}, 'has no option depth'),
    'no epochs': ({'train.epochs': 0}, 'train.epochs is 0; expected more than 0'),
    'a checkpoint of another kind': ({'init.checkpoint': 'gone'}, 'gone: No such file'),
    'an unknown shipped one': ({'init.checkpoint': 'shipped:x'}, 'no shipped:x; there are'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_in_the_config_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        jobs.run(tiny(tmp_path / 'run', **changes))
