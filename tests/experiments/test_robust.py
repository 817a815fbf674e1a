"""The robust experiment end to end on very small models, and what its report says."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import robust, wise_ft_lp
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.commands import predict
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import features, inference
from point_ft_jax.experiments import build
from point_ft_jax.experiments.jobs import (
    _robust_bench,
    _robust_checks,
    _robust_models,
    _robust_scores,
)
from point_ft_jax.experiments.jobs import robust as job
from point_ft_jax.reports.robust_evidence import (
    Comparison,
    methods,
)
from point_ft_jax.weight_space import wise

GEOMETRY = {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4}


def shrunk(config: ConfigDict, folder: pathlib.Path, **changes: object) -> ConfigDict:
    """One setting, very small clouds, random weights to start from."""
    config.folder = str(folder)
    config.init.checkpoint = ''
    config.points = 64
    config.seeds = (0,)
    config.data.num_points = 64
    config.data.update(train_size=60, test_size=30)
    config.validation.fraction = 0.25
    config.model.geometry = ConfigDict({**GEOMETRY, 'drop_path': 0.0})
    config.train.update(epochs=2, batch_size=15)
    config.probe.epochs = 2
    config.wise.alphas = (0.0, 1.0)
    config.robust.settings = ('obj_only',)
    shapes = {'name': 'shapes', 'num_points': 64}
    kinds = {**shapes, 'style': 'assemblies', 'kinds': 3, 'train_size': 18, 'test_size': 12}
    config.robust.transfer = ConfigDict({'kinds': kinds})
    config.robust.cad = ''
    config.corruptions.suite = ''
    config.few_shot.update(ways=(2,), shots=(2,), queries=2, folds=3)
    config.update_from_flattened_dict(changes)
    return config


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """Every kind of method, few runs."""
    config = shrunk(robust.get_config('small'), folder)
    cad = {'name': 'shapes', 'num_points': 64, 'style': 'cad'}
    config.robust.transfer.cad15 = ConfigDict({**cad, 'train_size': 90, 'test_size': 30})
    config.robust.cad = 'cad15'
    for name in ('dapt', 'lora', 'ema', 'l2_sp'):
        del config.robust.runs[name]
    config.robust.soup = ('full', 'lp_ft')
    for name in ('purge_gate', 'purge_gate_sp'):
        config.robust.adapt[name].purged = (0, 2)
    config.robust.adapted = ('full', 'wise_lp')
    config.robust.adapted_clouds = 6
    config.update_from_flattened_dict(changes)
    return config


def interpolation(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """WiSE-FT and WiSE-FT-LP alone."""
    return shrunk(wise_ft_lp.get_config('recon'), folder, **changes)


@pytest.mark.slow
def test_an_experiment_compares_all_methods_and_goes_on_where_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = job.run(tiny(tmp_path), 'python run.py').record
    text = (tmp_path / 'report.md').read_text()
    for words in ('If the target alone counts', 'NO', 'Model Stock', 'LP-FT', 'Claims', 'PG-SP'):
        assert words in text
    for name in ('along', 'transfer', 'plane', 'moved'):
        assert (tmp_path / f'{name}.png').stat().st_size > 5000
    scores = found.scores['obj_only']
    # Of one model on the same clouds: plain evaluation is that with adaptation left out.
    rows = np.linspace(0, 29, 6).round().astype(int)
    for name, where in (('full', 'alpha_1'), ('wise_lp', None)):
        plain = scores[f'adapted_{name}']['adapted/plain/target']
        own = scores[where]['target/own'] if where else methods(found)[name](scores)['target']
        np.testing.assert_array_equal(plain, own[:, rows])

    def refuse(*_: object) -> None:
        raise AssertionError('measured again')

    for name in ('scores', 'adapted', 'transfer_scores'):
        monkeypatch.setattr(_robust_scores.Scorer, name, refuse)
    again = job.run(tiny(tmp_path), 'python run.py').record
    np.testing.assert_array_equal(
        again.scores['obj_only']['lines']['svm/kinds'], scores['lines']['svm/kinds']
    )


@pytest.mark.parametrize('damage', ['a bit', 'the end', 'the name'])
def test_scores_that_were_damaged_are_measured_again(
    damage: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    stage, calls = job._Stage(ConfigDict(), tmp_path, 0, {}), []

    def measure() -> dict[str, np.ndarray]:
        calls.append(damage)
        return {'target/own': np.array([True, False, True])}

    path = tmp_path / 'scores' / 'full_0.npz'
    for _ in range(2):
        stage._kept(path, measure)
    content = bytearray(path.read_bytes())
    content[40] ^= damage == 'a bit'
    path.write_bytes(content[: -100 if damage == 'the end' else None])
    other = path.with_name('lp_0.npz') if damage == 'the name' else path
    path.rename(other)
    found = stage._kept(other, measure)
    assert found['target/own'].tolist() == [True, False, True]
    assert len(calls) == 2
    assert 'is not what was written' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('checkpoint', 'statistics', 'taken', 'alike'),
    [
        ('runs/pretrain', 'reestimated', (), True),
        ('', 'reestimated', (), False),
        ('runs/pretrain', 'finetuned', (), False),
        ('runs/pretrain', 'reestimated', ('cls_token',), False),
    ],
)
def test_alpha_0_is_measured_once_only_where_all_runs_start_from_the_same(
    tmp_path: pathlib.Path, checkpoint: str, statistics: str, taken: tuple, alike: bool
) -> None:
    changes = {'init.checkpoint': checkpoint, 'wise.statistics': (statistics,)}
    stage = job._Stage(interpolation(tmp_path, **changes), tmp_path, 0, {})
    stage.zoo = types.SimpleNamespace(ends=wise.Ends({}, {}, {}, taken))
    assert stage._starts_alike() == alike


def test_the_members_of_a_population_are_merged_and_are_no_rows(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path)
    rates = {'population': 2, 'population_rates': (5e-4, 1e-3)}
    config.robust.runs.members = ConfigDict(rates)
    folders = _robust_models.member_folders(config, 'members', tmp_path, 3)
    assert [str(f.relative_to(tmp_path)) for f in folders] == [
        'members_3/seed_3_lr_0.0005',
        'members_3/seed_3_lr_0.001',
    ]
    [one] = _robust_models.member_folders(config, 'lp_ft', tmp_path, 3)
    assert one == tmp_path / 'lp_ft_3' / 'seed_3'
    assert 'members' not in job._others(config)
    config.robust.runs.full = ConfigDict(rates)
    with pytest.raises(UserError, match=r'robust.runs.full is a population; expected one model'):
        _robust_checks.check(config)


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Comparison]:
    """A finished experiment on WiSE-FT and WiSE-FT-LP alone."""
    folder = tmp_path_factory.mktemp('wise')
    return folder, job.run(interpolation(folder), 'python run.py').record


@pytest.mark.slow
def test_an_experiment_leaves_its_report_figures_and_the_chosen_model(
    run: tuple[pathlib.Path, Comparison], tmp_path: pathlib.Path
) -> None:
    folder, found = run
    report = (folder / 'report.md').read_text()
    for word in ('python run.py', 'WiSE-FT-LP', 'Conditions', 'SVM, raw', 'C = 0.075'):
        assert word in report
    assert set(methods(found)) == {'lp', 'full', 'wise', 'wise_lp'}
    assert (folder / 'statistics.png').stat().st_size > 5000
    one = str(folder / 'obj_only' / 'chosen_0')
    np.save(tmp_path / 'cloud.npy', np.random.default_rng(0).standard_normal((64, 3)))
    [row], _ = predict.predict_files(one, [str(tmp_path)], top=1)
    assert row['classes'][0] in saved.load_run(one).metadata['classes']


@pytest.mark.slow
def test_at_one_without_probing_it_is_the_fine_tuned_model(
    run: tuple[pathlib.Path, Comparison],
) -> None:
    folder, found = run
    result = json.loads((folder / 'obj_only' / 'full_0' / 'result.json').read_text())
    confusion = np.array(result['seeds'][0]['chosen']['confusion'])
    one = found.scores['obj_only']['alpha_1']
    for name in ('target/own', 'statistics/interpolated', 'statistics/finetuned'):
        np.testing.assert_allclose(one[name].mean(), np.trace(confusion) / confusion.sum())


@pytest.mark.slow
def test_a_probe_at_zero_is_linear_probing_of_the_pretrained_backbone(
    run: tuple[pathlib.Path, Comparison], tmp_path: pathlib.Path
) -> None:
    """That is, of what the run started from; `test_protocols` has probing on features itself."""
    folder, _ = run
    config = interpolation(folder, **{'probe.head': 'fresh'})
    model = saved.load_run(folder / 'obj_only' / 'full_0' / 'seed_0').model
    start, _ = build.load_start(config, model, 0)
    tuned = saved.load_run(folder / 'obj_only' / 'full_0' / 'seed_0').variables
    fresh = {name: tree.get('head', {}) for name, tree in start.items()}
    bench = _robust_bench.make_bench(config, model, fresh, tmp_path, 0)
    path = wise.ends(model, start, tuned)
    models = wise.models_along(path, (0.0,), 'interpolated', lambda _: pytest.fail('estimated'))
    zero = jax.tree.map(lambda leaf: np.asarray(leaf)[0], models)
    points = bench.target['train'].points
    predict_features = inference.make_predict(model.module, make_mesh(), 15, method='features')
    found = bench.probe(zero, predict_features(zero, points), 'alpha_0')
    alone = _robust_bench.probe.train_heads(
        model.module.head,
        features.stack(fresh),
        predict_features(start, points)[None],
        bench.target['train'].labels,
        _robust_bench._optimizer(config, len(points))[0],
        epochs=config.probe.epochs,
        batch_size=config.probe.batch_size,
        seed=0,
        smoothing=config.train.smoothing,
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b[0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_an_experiment_that_probes_through_the_backbones(
    tmp_path: pathlib.Path,
) -> None:
    config = interpolation(
        tmp_path, **{'probe.augment': 'scale_translate', 'wise.alphas': (0.0, 0.5, 1.0)}
    )
    config.corruptions.update(suite='modelnet_c_regenerated', severities=(2,), clouds=6)
    job.run(config, 'python run.py')
    assert (tmp_path / 'corrupted.png').exists()
    # Every alpha has a probe of its own.
    assert len(list((tmp_path / 'obj_only' / 'probe_0').iterdir())) == 3


@pytest.mark.parametrize('backbone', wise_ft_lp.EMBEDDED)
def test_the_embedded_experiment_starts_from_a_backbone_that_ships(backbone: str) -> None:
    config = wise_ft_lp.embedded(backbone)
    _, line = build.load_start(config, build.build_model(config, 15), seed=0)
    assert line.startswith(f'backbone: shipped:{backbone}_tiny: loaded ')
    # Point-M2AE's pre-training has no norm behind its last level.
    assert ('new: none' in line) == (backbone == 'recon')


MISTAKES = {
    'no full run': ({'robust.soup': ('fool',)}, "robust.soup has 'fool'; expected names of"),
    'alphas': ({'wise.alphas': (0.5,)}, '0 and 1 among them'),
    'alpha beyond one': (
        {'wise.alphas': (0.0, 1.0, 1.5)},
        r'wise.alphas has 1.5; expected numbers',
    ),
    'an unknown merge': ({'robust.merges.lines.method': 'line'}, "has method 'line'"),
    'an unknown row': ({'robust.adapted': ('fool',)}, "robust.adapted has 'fool'; expected rows"),
    'unknown classes': ({'robust.shared': 'scan12'}, "robust.shared is 'scan12'"),
    'no such set': ({'robust.cad': 'cad'}, "robust.cad is 'cad'; expected one of robust.transfer"),
    'nothing held out': ({'validation.fraction': 0.0}, 'no held-out clouds are left'),
    'chosen on the test split': ({'select': 'best_test_epoch'}, 'no held-out clouds are left'),
    'a method without a backbone': ({'method.name': 'lora'}, 'full is tuned by lora'),
    'an unknown SVM': ({'svm.classifier': 'rbf'}, "svm.classifier is 'rbf'; expected LinearSVC or"),
    'an unknown head': ({'probe.head': 'old'}, "probe.head is 'old'; expected continue or fresh"),
    'unknown statistics': ({'wise.statistics': ('mean',)}, "statistics is 'mean'; expected one of"),
    'no setting': ({'robust.settings': ()}, 'robust.settings is empty'),
    'an unknown suite': ({'corruptions.suite': 'rain'}, "no suite 'rain' of corruptions"),
    'an unknown augmentation': ({'probe.augment': 'flip'}, "no augmentation 'flip'"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        job.run(tiny(tmp_path, **changes))


def test_an_option_that_a_merge_lacks_is_named_before_anything_runs(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path)
    config.robust.merges.soup.density = 0.5
    with pytest.raises(UserError, match=r"robust.merges.soup has the option 'density', which soup"):
        job.run(config)
