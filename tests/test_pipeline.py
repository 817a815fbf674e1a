"""From a config to a report, and what the commands make of the run."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from point_ft_jax import (
    evaluate_checkpoint,
    export,
    merge,
    pipeline,
    predict,
    runs,
    saved,
    split,
    torch_file,
)
from point_ft_jax.config import default
from point_ft_jax.data import shapes
from point_ft_jax.errors import UserError
from point_ft_jax.model import build

ROOT = pathlib.Path(__file__).parent.parent


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """Two epochs of a very small model on a few embedded shapes."""
    config = default()
    config.name = 'tiny'
    config.folder = str(folder)
    config.points = 64
    config.data.update(style='cad', num_points=64, train_size=60, test_size=30)
    config.model.geometry.update(
        width=12, heads=2, depth=1, num_groups=8, group_size=4, drop_path=0.0
    )
    config.method.update(name='dapt', options=ConfigDict({'rank': 2}))
    config.train.update(epochs=2, batch_size=15)
    config.optim.warmup = 1
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp('run')
    pipeline.finetune(tiny(folder), 'python run.py')
    return folder


def test_a_run_leaves_a_report_metrics_and_checkpoints(run: pathlib.Path) -> None:
    report = (run / 'report.md').read_text()
    assert 'python run.py' in report
    assert 'scale_translate' in report
    assert {'confusion.png', 'curves.png', 'result.json', 'config.json'} <= {
        p.name for p in run.iterdir()
    }
    assert {'last', 'best', 'delta', 'frozen', 'metrics.jsonl', 'facts.json'} <= {
        p.name for p in (run / 'seed_0').iterdir()
    }
    assert list((run / 'seed_0').glob('events.out.tfevents*'))


def test_two_seeds_give_a_mean_and_a_deviation(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    report = pipeline.finetune(tiny(tmp_path, **{'seeds': (0, 1), 'vote.votes': 2}))
    assert [seed.seed for seed in report.seeds] == [0, 1]
    assert all(seed.voted.confusion.sum() == 30 for seed in report.seeds)
    assert ' ± ' in capsys.readouterr().err


def test_a_finished_run_is_read_back_to_the_same_report(run: pathlib.Path) -> None:
    before = json.loads((run / 'result.json').read_text())
    pipeline.finetune(tiny(run), 'python run.py')
    after = json.loads((run / 'result.json').read_text())
    assert after['seeds'] == before['seeds']


def test_a_folder_of_another_config_is_refused(run: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r'(?s)another config.*optim.lr: 0.0005 there, 0.1 now'):
        pipeline.finetune(tiny(run, **{'optim.lr': 0.1}))


def test_the_saved_model_gives_the_reports_accuracy(run: pathlib.Path) -> None:
    text = evaluate_checkpoint.evaluated(str(run), None, 16)
    result = json.loads((run / 'result.json').read_text())
    accuracy = 100 * np.trace(result['seeds'][0]['chosen']['confusion']) / 30
    assert f'overall accuracy {accuracy:.2f} %' in text


def test_an_exported_model_is_the_same_model(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'model.pth'
    export.export(str(run), str(path))
    live = saved.load(run)
    state, _ = torch_file.state_dict(path)
    back, report = live.model.load_all(live.model.shapes(), state, 'model.pth')
    assert report.new == report.left == ()
    for a, b in zip(jax.tree.leaves(live.variables), jax.tree.leaves(back), strict=True):
        np.testing.assert_array_equal(a, b)
    text = evaluate_checkpoint.evaluated(str(path), tiny(tmp_path), 16)
    assert (
        evaluate_checkpoint.evaluated(str(run), None, 16).splitlines()[2:]
        == (text.splitlines()[2:])
    )


def pretrained(path: pathlib.Path, seed: int) -> str:
    """A file of a backbone for `tiny`."""
    built = build('recon', 'full', 15, geometry=dict(tiny(path).model.geometry))
    state = built.export(built.init(jax.random.key(seed)))
    torch_file.write(path, {k: v for k, v in state.items() if not k.startswith('cls_head')})
    return str(path)


@pytest.fixture(scope='module')
def tuned(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a backbone, 'pre.pth', and two runs from it, 'a' and 'b', by LoRA."""
    folder = tmp_path_factory.mktemp('tuned')
    start = pretrained(folder / 'pre.pth', 7)
    for seed, name in enumerate('ab'):
        config = tiny(folder / name, **{'init.checkpoint': start, 'seeds': (seed,)})
        config.method.update(name='lora', options=ConfigDict({'rank': 2}))
        pipeline.finetune(config)
    return folder


def test_a_delta_is_carried_to_a_copy_of_its_backbone(
    tuned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(tuned / 'a' / 'seed_0' / 'delta', tmp_path / 'delta')
    with pytest.raises(UserError, match='is a delta: say with --backbone'):
        saved.load(tmp_path / 'delta')
    whole = saved.load(tuned / 'a')
    for backbone in (tuned / 'pre.pth', tuned / 'b'):
        carried = saved.load(tmp_path / 'delta', str(backbone))
        for a, b in zip(
            jax.tree.leaves(whole.variables), jax.tree.leaves(carried.variables), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_another_backbone_is_refused(tuned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = pretrained(tmp_path / 'other.pth', 8)
    with pytest.raises(UserError, match=r'other.pth is not the backbone that .* fingerprints diff'):
        saved.load(tuned / 'a', other)


def test_a_delta_is_small_and_its_size_is_said(
    run: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    pipeline.finetune(tiny(run), 'python run.py')
    assert re.search(
        r'delta \d+\.\d+ MiB in .* \(the whole model: \d+\.\d+ MiB\)', capsys.readouterr().err
    )


def test_several_runs_are_evaluated_in_one_call(tuned: pathlib.Path) -> None:
    paths = [str(tuned / name) for name in 'ab']
    together = evaluate_checkpoint.compared(paths, None, 16)
    for path in paths:
        alone = evaluate_checkpoint.evaluated(path, None, 16)
        accuracy = re.search(r'overall accuracy (\d+.\d+) %', alone)[1]
        assert re.search(rf'{re.escape(path)} +{accuracy}', together)


def test_runs_over_different_backbones_are_not_compared(
    tuned: pathlib.Path, run: pathlib.Path
) -> None:
    with pytest.raises(UserError, match='is of another model'):
        evaluate_checkpoint.compared([str(tuned / 'a'), str(run)], None, 16)


def test_a_merged_run_is_the_same_model_without_a_tuner(
    tuned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    live = saved.load(tuned / 'a')
    merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged'))
    merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged.pth'))
    merged = saved.load(tmp_path / 'merged')
    state, _ = torch_file.state_dict(tmp_path / 'merged.pth')
    keys = merged.model.export(merged.variables)
    assert state.keys() == keys.keys()
    assert 'tuner' not in merged.variables['params']
    points = shapes.load('test', style='cad', num_points=64, train_size=15, test_size=15).points
    expected, found = (m.model.module.apply(m.variables, points) for m in (live, merged))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match='is there already; expected a new folder'):
        merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged'))


def test_predictions_of_files_warn_of_what_differs(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cloud = shapes.load('test', style='cad', num_points=64, train_size=15, test_size=15).points[0]
    np.save(tmp_path / 'a.npy', cloud)
    np.save(tmp_path / 'b.npy', np.concatenate([cloud, cloud * 0.99]) * 50)
    (tmp_path / '._a.npy').write_bytes(b'a file manager left this')
    rows = predict.predict_files(str(run), [str(tmp_path)], top=2)
    assert [pathlib.Path(row['file']).name for row in rows] == ['a.npy', 'b.npy']
    assert rows[0]['warning'] == ''
    assert '128 points, trained on 64' in rows[1]['warning']
    assert '--normalize' in rows[1]['warning']
    assert len(rows[0]['classes']) == 2
    assert rows[0]['probabilities'][0] >= rows[0]['probabilities'][1] > 0


def test_clouds_that_are_too_small_are_listed(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in 'ab':
        np.save(tmp_path / f'{name}.npy', np.ones((10, 3)))
    with pytest.raises(UserError, match=r'(?s)takes 64 points.*a.npy: 10 points.*b.npy'):
        predict.predict_files(str(run), [str(tmp_path)])


def test_a_backbone_is_loaded_and_reported(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    config = tiny(tmp_path / 'run', **{'train.epochs': 1, 'optim.warmup': 0})
    built = build('recon', 'full', 15, geometry=dict(config.model.geometry))
    start = built.init(jax.random.key(7))
    state = {
        f'module.MAE_encoder.{key}': value
        for key, value in built.export(start).items()
        if not key.startswith('cls_head')
    }
    torch_file.write(tmp_path / 'pre.pth', {**state, 'module.mask_token': np.zeros((1, 1, 12))})
    config.init.checkpoint = str(tmp_path / 'pre.pth')
    pipeline.finetune(config)
    assert "prefix 'MAE_encoder.'; new: none; left in the file: 1 (mask_token 1)" in (
        capsys.readouterr().err
    )
    kernel = saved.load(tmp_path / 'run').variables['params']['backbone']['tokenizer']
    np.testing.assert_array_equal(
        kernel['first_0']['kernel'], start['params']['backbone']['tokenizer']['first_0']['kernel']
    )


def test_own_arrays_in_a_few_lines() -> None:
    """The library without configs, as the README shows it."""
    from point_ft_jax.quick import finetune

    r = np.random.default_rng(0)
    data = split.from_arrays(r.standard_normal((20, 64, 3)), np.arange(20) % 2, ('a', 'b'))
    classifier = finetune(
        data, method='dapt', epochs=1, batch_size=10, geometry={'depth': 1, 'num_groups': 8}
    )
    probabilities = classifier(data.points)
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


MISTAKES = {
    'unknown backbone': ({'model.backbone': 'pointnet'}, "no plug-in 'pointnet' in backbones"),
    'unknown method': ({'method.name': 'lorax'}, "no plug-in 'lorax' in methods; there are"),
    'unknown data': ({'data.name': 'shapenet'}, "no plug-in 'shapenet' in data; there are"),
    'unknown variant': ({'model.variant': 'huge'}, "no variant 'huge' of recon; there are base"),
    'unknown augmentation': ({'train.augment': 'flip'}, "no augmentation 'flip'"),
    'unknown schedule': ({'optim.schedule': 'linear'}, "no schedule 'linear'"),
    'unknown selection': ({'select': 'best'}, "select is 'best'; expected one of"),
    'unknown compute type': ({'model.compute': 'float8'}, "model.compute is 'float8'"),
    'unknown batch norm': ({'batch_norm': 'off'}, "batch_norm is 'off'; expected 'hold'"),
    'unknown readout': ({'model.readout': ('max',)}, 'expected one or more of cls'),
    'readout of absent tokens': (
        {'model.readout': ('prompts_mean',), 'method.name': 'full', 'method.options': ConfigDict()},
        "'prompts_mean' needs prompts tokens",
    ),
    'nothing trains': ({'method.trainable': ('nobody/*',)}, 'no parameter matches nobody'),
    'option of another method': ({'method.name': 'full'}, 'method full has no option rank'),
    'no epochs': ({'train.epochs': 0}, 'train.epochs is 0; expected more than 0'),
    'no rate': ({'optim.lr': 0.0}, 'optim.lr is 0.0; expected more than 0'),
    'warm-up over the end': ({'optim.warmup': 9}, 'optim.warmup is 9; expected 0 to 1 epochs'),
    'a seed twice': ({'seeds': (1, 1)}, r'seeds is \(1, 1\); expected one or more different'),
    'too much smoothing': ({'train.smoothing': 1.0}, 'train.smoothing is 1.0; expected 0 to 1'),
    'fewer than no votes': ({'vote.votes': -1}, 'vote.votes is -1'),
    'more points than there are': (
        {'points': 128},
        'takes 128 points and the train clouds have 64',
    ),
    'more groups than points': (
        {'model.geometry.num_groups': 100},
        '100',
    ),
    'a batch that nothing fills': ({'train.batch_size': 500}, 'do not fill one batch of 500'),
    'validation of everything': ({'validation.fraction': 1.5}, 'expected a number between 0 and 1'),
    'a negative seed': ({'seeds': (-1,)}, 'expected one or more different numbers from 0 on'),
    'a population of a job that has none': (
        {'job': 'vote', 'population': 2},
        "the job 'vote' has one member; populations are for finetune and compare",
    ),
    'no checkpoint there': ({'init.checkpoint': 'gone.pth'}, 'gone.pth'),
    'data option that is wrong': ({'data.style': 'oil'}, "style is 'oil'"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_in_the_config_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        pipeline.finetune(tiny(tmp_path / 'run', **changes))
    runs.begin(tiny(tmp_path / 'run'))  # corrected, in the same folder


def test_a_checkpoint_that_does_not_fit_says_all_that_is_wrong(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path / 'run')
    state = build('recon', 'full', 15, geometry=dict(config.model.geometry)).export(
        build('recon', 'full', 15, geometry=dict(config.model.geometry)).init(jax.random.key(0))
    )
    del state['norm.weight']
    state['cls_pos'] = np.zeros((1, 1, 5), np.float32)
    state['extra.weight'] = np.zeros(3, np.float32)
    torch_file.write(tmp_path / 'bad.pth', state)
    config.init.checkpoint = str(tmp_path / 'bad.pth')
    with pytest.raises(UserError) as error:
        pipeline.finetune(config)
    for part in ('missing: norm.weight (12,)', 'unexpected: extra.weight', 'shape of cls_pos'):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--config=configs/gone.py'], 'could not be loaded'),
        (['--config=configs/recon_dapt.py:nope'], "no variant 'nope' of recon_dapt"),
        (['--config=configs/recon_dapt.py', '--config.train.epoch=1'], "did you mean 'epochs'"),
        (['--config=configs/recon_dapt.py', '--config.train.epochs=x'], 'invalid literal for int'),
        (['--config=configs/recon_dapt.py:own'], 'give --config.data.root='),
    ],
)
def test_a_mistake_on_the_command_line_is_no_traceback(
    arguments: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    folder = f'--config.folder={tmp_path}' if 'gone' not in arguments[0] else '--'
    done = subprocess.run(
        [sys.executable, 'run.py', *arguments, folder],
        cwd=ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
