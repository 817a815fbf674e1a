"""From a config to a report, and what the commands make of the run."""

import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from small import tiny

from configs import corruptions, voting
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints import torch_file, weights
from point_ft_jax.commands import evaluate, export, merge, predict
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import shapes
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.predictions import predict as predict_arrays
from point_ft_jax.experiments import build, jobs
from point_ft_jax.experiments.config import own_clouds
from point_ft_jax.experiments.jobs import finetune as pipeline
from point_ft_jax.models import create_model
from point_ft_jax.training.finetune import finetune


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp('run')
    pipeline.run(tiny(folder), 'python run.py')
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


@pytest.mark.slow
def test_two_seeds_give_a_mean_and_a_deviation(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    report = pipeline.run(tiny(tmp_path, **{'seeds': (0, 1), 'vote.votes': 2}))
    assert [seed.seed for seed in report.record.seeds] == [0, 1]
    assert all(seed.voted.confusion.sum() == 30 for seed in report.record.seeds)
    assert ' ± ' in capsys.readouterr().err


def test_a_finished_run_is_read_back_to_the_same_report(run: pathlib.Path) -> None:
    before = json.loads((run / 'result.json').read_text())
    pipeline.run(tiny(run), 'python run.py')
    after = json.loads((run / 'result.json').read_text())
    assert after['seeds'] == before['seeds']


def test_a_folder_of_another_config_is_refused(run: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r'(?s)another config.*optim.lr: 0.0005 there, 0.1 now'):
        pipeline.run(tiny(run, **{'optim.lr': 0.1}))


def test_other_data_than_a_runs_are_noticed(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = build.load_splits

    def fewer(config: ConfigDict, *known: object) -> dict[str, Split]:
        splits = real(config, *known)
        return {**splits, 'test': splits['test'].take(np.arange(29))}

    monkeypatch.setattr(build, 'load_splits', fewer)
    text = evaluate.evaluated(str(run), None, 16)
    assert f'note: these are not the data of {run}; what is tested here may have been' in text
    assert '  - test: 30 clouds then, 29 now' in text
    with pytest.raises(UserError, match=r'(?s)seed_0 began with other data; .*30 clouds then, 29'):
        pipeline.run(tiny(run), 'python run.py')


def test_the_saved_model_gives_the_reports_accuracy(run: pathlib.Path) -> None:
    text = evaluate.evaluated(str(run), None, 16)
    assert 'note' not in text
    result = json.loads((run / 'result.json').read_text())
    accuracy = 100 * np.trace(result['seeds'][0]['chosen']['confusion']) / 30
    assert f'overall accuracy {accuracy:.2f} %' in text


def test_mistakes_are_found_before_weights_are_read(
    run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError('weights were read')

    monkeypatch.setattr(saved, 'load_run', read)
    monkeypatch.setattr(weights, 'read', read)
    (tmp_path / 'a.pth').write_bytes(b'')
    absent = tiny(tmp_path, **{'data.name': 'folder'})
    absent.data = ConfigDict({'name': 'folder', 'root': str(tmp_path / 'absent')})
    of_run = {'run': str(run), 'folder': str(tmp_path / 'judged')}
    other = {'corruptions.suite': 'modelnet_d', **of_run}
    (tmp_path / 'flat.npy').write_bytes(b'')
    for act, message in (
        (lambda: evaluate.evaluated(str(run), absent, 16), 'no folder .*absent'),
        (lambda: evaluate.evaluated(str(tmp_path / 'a.pth'), absent, 16), 'no folder .*absent'),
        (lambda: evaluate.compared([str(run)] * 2, absent, 16), 'no folder .*absent'),
        (lambda: predict.predict_files(str(run), [str(tmp_path / 'flat.npy')]), 'cannot be used'),
        (lambda: export.export(str(run), str(tmp_path / 'no' / 'a.pth')), 'there is no folder'),
        (lambda: merge.merge_run(str(run), str(tmp_path / 'no' / 'a.pth')), 'there is no folder'),
        (lambda: merge.merge_run(str(run), str(run)), 'is not empty'),
        (lambda: jobs.run(changed(corruptions.get_config(), other)), 'modelnet_d'),
        (lambda: jobs.run(changed(voting.get_config(), {'vote.votes': 0, **of_run})), 'votes is 0'),
        (
            lambda: jobs.run(changed(voting.get_config(), {'vote.augment': 'flip', **of_run})),
            'flip',
        ),
    ):
        with pytest.raises(UserError, match=message):
            act()


def changed(config: ConfigDict, changes: dict[str, object]) -> ConfigDict:
    """A config with other values."""
    config.update_from_flattened_dict(changes)
    return config


def test_an_exported_model_is_the_same_model(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'model.pth'
    export.export(str(run), str(path))
    live = saved.load_run(run)
    state, _ = torch_file.state_dict(path)
    back, report = live.model.load_all(live.model.shapes(), state, 'model.pth')
    assert report.new == report.left == ()
    for a, b in zip(jax.tree.leaves(live.variables), jax.tree.leaves(back), strict=True):
        np.testing.assert_array_equal(a, b)
    text = evaluate.evaluated(str(path), tiny(tmp_path), 16)
    assert evaluate.evaluated(str(run), None, 16).splitlines()[2:] == (text.splitlines()[2:])


def pretrained(path: pathlib.Path, seed: int) -> str:
    """A file of a backbone for `tiny`."""
    built = create_model('recon', 15, geometry=dict(tiny(path).model.geometry))
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
        pipeline.run(config)
    return folder


def test_a_delta_is_carried_to_a_copy_of_its_backbone(
    tuned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(tuned / 'a' / 'seed_0' / 'delta', tmp_path / 'delta')
    with pytest.raises(UserError, match='is a delta: say with --backbone'):
        saved.load_run(tmp_path / 'delta')
    whole = saved.load_run(tuned / 'a')
    for backbone in (tuned / 'pre.pth', tuned / 'b'):
        carried = saved.load_run(tmp_path / 'delta', str(backbone))
        for a, b in zip(
            jax.tree.leaves(whole.variables), jax.tree.leaves(carried.variables), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_another_backbone_is_refused(tuned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = pretrained(tmp_path / 'other.pth', 8)
    with pytest.raises(UserError, match=r'other.pth is not the backbone that .* fingerprints diff'):
        saved.load_run(tuned / 'a', other)


def test_a_delta_is_small_and_its_size_is_said(
    run: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    pipeline.run(tiny(run), 'python run.py')
    assert re.search(
        r'delta \d+\.\d+ MiB in .* \(the whole model: \d+\.\d+ MiB\)', capsys.readouterr().err
    )


def test_data_of_other_classes_or_another_task_evaluate_no_run(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in ('chair', 'lamp'):
        (tmp_path / name).mkdir()
        for k in range(2):
            np.save(tmp_path / name / f'{k}.npy', np.random.default_rng(k).random((64, 3)))
    other = tiny(run)
    other.data = own_clouds()
    other.data.root = str(tmp_path)
    with pytest.raises(UserError, match=r'predicts 15 classes .*the data set has 2 \(chair, lamp'):
        evaluate.evaluated(str(run), other, 16)
    with pytest.raises(UserError, match="its task is classification, the config's part_segm"):
        evaluate.compared([str(run)], tiny(run, task='part_segmentation'), 16)
    with pytest.raises(UserError, match='no such file or folder'):
        evaluate.evaluated(str(tmp_path / 'gone'), None, 16)


def test_a_test_split_alone_evaluates_a_run_which_knows_the_classes(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = shapes.load('test', style='cad', num_points=64, train_size=15, test_size=15)
    for index, (cloud, label) in enumerate(zip(data.points, data.labels, strict=True)):
        if data.classes[label] == 'bag':
            continue
        place = tmp_path / 'data' / 'test' / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f'{index}.npy', cloud)
    other = tiny(run)
    other.data = own_clouds()
    other.data.update(root=str(tmp_path / 'data'), normalize=False)
    text = evaluate.evaluated(str(run), other, 16)
    assert '14 clouds of the test split, 64 points each' in text
    assert 'note: no cloud of bag: means over classes are over the others' in text
    (tmp_path / 'data' / 'test' / 'bags').mkdir()
    with pytest.raises(UserError, match='classes that the model was not trained on: bags; it know'):
        evaluate.evaluated(str(run), other, 16)


@pytest.mark.slow
def test_own_arrays_on_a_hierarchical_backbone() -> None:
    r = np.random.default_rng(0)
    data = Split.from_arrays(r.standard_normal((8, 64, 3)), np.arange(8) % 2, ('a', 'b'))
    sizes = {'num_groups': (16, 8, 4), 'group_sizes': (4, 4, 4)}
    options = {'method': 'linear_probe', 'epochs': 1, 'batch_size': 4, 'geometry': sizes}
    tuned = finetune(data, backbone='point_m2ae', progress=False, **options)
    assert predict_arrays(tuned, data.points).shape == (8, 2)


def test_several_runs_are_evaluated_in_one_call(tuned: pathlib.Path) -> None:
    paths = [str(tuned / name) for name in 'ab']
    together = evaluate.compared(paths, None, 16)
    for path in paths:
        alone = evaluate.evaluated(path, None, 16)
        accuracy = re.search(r'overall accuracy (\d+.\d+) %', alone)[1]
        assert re.search(rf'{re.escape(path)} +{accuracy}', together)


def test_runs_over_different_backbones_are_not_compared(
    tuned: pathlib.Path, run: pathlib.Path
) -> None:
    with pytest.raises(UserError, match='is of another model'):
        evaluate.compared([str(tuned / 'a'), str(run)], None, 16)


@pytest.mark.slow
def test_a_merged_run_is_the_same_model_without_a_tuner(
    tuned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    live = saved.load_run(tuned / 'a')
    merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged'))
    merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged.pth'))
    merged = saved.load_run(tmp_path / 'merged')
    state, _ = torch_file.state_dict(tmp_path / 'merged.pth')
    keys = merged.model.export(merged.variables)
    assert state.keys() == keys.keys()
    assert 'tuner' not in merged.variables['params']
    points = shapes.load('test', style='cad', num_points=64, train_size=15, test_size=15).points
    expected, found = (m.model.module.apply(m.variables, points) for m in (live, merged))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match='is not empty; give a new folder'):
        merge.merge_run(str(tuned / 'a'), str(tmp_path / 'merged'))


def test_files_are_drawn_and_normalised_as_the_training_clouds_were(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cloud = shapes.load('test', style='cad', num_points=64, train_size=15, test_size=15).points[0]
    np.save(tmp_path / 'a.npy', cloud)
    np.save(tmp_path / 'b.npy', np.concatenate([cloud, cloud * 0.99]) * 50)
    (tmp_path / '._a.npy').write_bytes(b'a file manager left this')
    rows, complaint = predict.predict_files(str(run), [str(tmp_path)], top=2)
    assert complaint == ''
    assert [pathlib.Path(row['file']).name for row in rows] == ['a.npy', 'b.npy']
    assert rows[0]['warning'] == ''
    assert rows[1]['warning'] == ''
    assert len(rows[0]['classes']) == 2
    assert rows[0]['probabilities'][0] >= rows[0]['probabilities'][1] > 0


@pytest.mark.parametrize('normalize', [False, True])
def test_a_flat_cloud_has_no_class(
    run: pathlib.Path, tmp_path: pathlib.Path, normalize: bool
) -> None:
    np.save(tmp_path / 'a.npy', np.ones((64, 3)))
    with pytest.raises(UserError, match=r'1 clouds have all points in one place: .*a\.npy'):
        predict.predict_files(str(run), [str(tmp_path)], normalize=normalize)


def test_clouds_of_few_points_are_repeated_or_refused(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    few = np.random.default_rng(0).normal(size=(10, 3))
    for name in 'ab':
        np.save(tmp_path / f'{name}.npy', few)
    np.save(tmp_path / 'c.npy', np.concatenate([few] * 6 + [few[:4]]))
    rows, _ = predict.predict_files(str(run), [str(tmp_path)])
    assert '10 points, of which the model takes 64: they are repeated' in rows[0]['warning']
    # Of c some points count once more in the centroid.
    np.testing.assert_allclose(rows[0]['probabilities'], rows[2]['probabilities'], rtol=1e-3)
    assert 'repeated' not in rows[2]['warning']
    with pytest.raises(UserError, match=r'(?s)takes 64 points.*a.npy: 10 points.*b.npy'):
        predict.predict_files(str(run), [str(tmp_path)], few='refuse')


def test_files_that_cannot_be_read_are_listed_and_the_rest_predicted(
    run: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    cloud = np.random.default_rng(0).normal(size=(64, 3))
    (tmp_path / 'in').mkdir()
    np.save(tmp_path / 'in' / 'a.npy', cloud)
    np.save(tmp_path / 'in' / 'flat.npy', np.ones((64, 3)))
    (tmp_path / 'in' / 'b.ply').write_bytes(b'ply')
    status = predict.main([str(run), str(tmp_path / 'in'), f'--csv={tmp_path / "out.csv"}'])
    printed = capsys.readouterr()
    assert status == 1
    assert 'a.npy: ' in printed.out
    assert f'wrote {tmp_path / "out.csv"}' in printed.out
    assert 'error: 2 of 3 files cannot be used and are left out:' in printed.err
    assert 'b.ply: no PLY header' in printed.err
    assert 'all points in one place' in printed.err
    assert predict.main([str(run), str(tmp_path / 'in' / 'a.npy')]) == 0


def test_a_wrong_path_is_told_before_a_model_is_loaded(tmp_path: pathlib.Path) -> None:
    for options in ({}, {'features': 'none.npz'}):
        command = predict.predict_by_text if options else predict.predict_files
        with pytest.raises(UserError, match=r'no file none\.ply'):
            command(str(tmp_path / 'no run'), ['none.ply'], **options)
    with pytest.raises(UserError, match=r'few is .some.; expected repeat or refuse'):
        predict.predict_files('run', ['none.ply'], few='some')


@pytest.mark.slow
def test_a_backbone_is_loaded_and_reported(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    config = tiny(tmp_path / 'run', **{'train.epochs': 1, 'optim.warmup': 0})
    built = create_model('recon', 15, geometry=dict(config.model.geometry))
    start = built.init(jax.random.key(7))
    state = {
        f'module.MAE_encoder.{key}': value
        for key, value in built.export(start).items()
        if not key.startswith('cls_head')
    }
    torch_file.write(tmp_path / 'pre.pth', {**state, 'module.mask_token': np.zeros((1, 1, 12))})
    config.init.checkpoint = str(tmp_path / 'pre.pth')
    pipeline.run(config)
    assert "prefix 'MAE_encoder.'; new: none; left in the file: 1 (mask_token 1)" in (
        capsys.readouterr().err
    )
    kernel = saved.load_run(tmp_path / 'run').variables['params']['backbone']['tokenizer']
    np.testing.assert_array_equal(
        kernel['first_0']['kernel'], start['params']['backbone']['tokenizer']['first_0']['kernel']
    )
