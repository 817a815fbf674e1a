"""WiSE-FT and WiSE-FT-LP: exact ends, what probing at an end is, and the experiment end to end."""

import json
import pathlib

import jax
import numpy as np
import pytest
import small
from ml_collections import ConfigDict

from configs import pretrain, wise_ft_lp
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.commands import predict
from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import corruptions, features, inference
from point_ft_jax.experiments import build
from point_ft_jax.experiments.jobs import _wise_measurements
from point_ft_jax.experiments.jobs import wise_ft_lp as wise_experiment
from point_ft_jax.weight_space import wise
from point_ft_jax.weight_space.batch_statistics import CHOICES, make_reestimate
from point_ft_jax.weight_space.wise import HEAD, Ends

ALPHAS = (0.0, 0.5, 1.0)


def pair(method: str = 'full', **options: object) -> tuple:
    """A model, and two sets of variables that differ in every leaf."""
    built = small.build(method, **options)
    first, second = (built.init(jax.random.key(i)) for i in range(2))
    r = np.random.default_rng(0)

    def moved(leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf + 0.1 * r.uniform(0.5, 1, leaf.shape), np.float32)

    return built, jax.tree.map(np.asarray, first), jax.tree.map(moved, second)


def never(models: dict) -> dict:
    raise AssertionError('nothing is to be re-estimated here')


def same(a: dict, b: dict) -> None:
    """Bit by bit."""
    ours, theirs = trees.flatten(a), trees.flatten(b)
    assert ours.keys() == theirs.keys()
    for path, leaf in ours.items():
        assert np.asarray(leaf).tobytes() == np.asarray(theirs[path]).tobytes(), path


@pytest.mark.parametrize('choice', ['interpolated', 'reestimated'])
def test_the_ends_are_the_two_checkpoints_to_the_bit(choice: str) -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second)

    def zeros(models: dict) -> dict:
        return {'backbone': jax.tree.map(np.zeros_like, models['batch_stats']['backbone'])}

    def at(i: int) -> dict:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[i], models)

    models = wise.models_along(path, ALPHAS, choice, zeros)
    same(at(2), second)  # the fine-tuned model, head and all
    for collection in ('params', 'batch_stats'):
        same(at(0)[collection]['backbone'], first[collection]['backbone'])
        same(at(0)[collection]['head'], second[collection]['head'])


def test_statistics_go_where_they_are_told() -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second)
    zero, one = (v['batch_stats']['backbone'] for v in (first, second))
    for choice, expected in (('pretrained', zero), ('finetuned', one)):
        found = wise.models_along(path, ALPHAS, choice, never)['batch_stats']['backbone']
        for i in range(3):
            same(jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], found), expected)
    half = wise.models_along(path, ALPHAS, 'interpolated', never)['batch_stats']['backbone']
    for a, b, c in zip(*map(jax.tree.leaves, (half, zero, one)), strict=True):
        np.testing.assert_allclose(a[1], (b + c) / 2, rtol=1e-5, atol=1e-6)


def test_reestimated_statistics_are_those_of_the_clouds_in_training() -> None:
    """With them, a batch norm in evaluation does what it does in training on the same clouds."""
    built, _, second = pair(geometry={'drop_path': 0.0, 'depth': 1})
    points = small.split(16, 3).points
    stack = features.stack(second)
    found = make_reestimate(built.module, make_mesh(), 16)(stack, points)
    same(found['head'], stack['batch_stats']['head'])
    variables = {**second, 'batch_stats': jax.tree.map(lambda a: np.asarray(a)[0], found)}
    run = jax.jit(
        lambda v, train: built.module.apply(
            v, points, train=train, method='features', mutable=['batch_stats']
        )[0],
        static_argnums=1,
    )
    np.testing.assert_allclose(run(variables, False), run(second, True), rtol=0.02, atol=0.02)
    assert np.abs(run(second, False) - run(second, True)).max() > 0.1


def test_what_a_pretraining_lacks_is_fine_tuned_at_every_alpha() -> None:
    built, first, second = pair()
    path = wise.ends(built, first, second, lacking=['norm/scale', 'norm/bias'])
    assert path.taken == ('norm/scale', 'norm/bias')
    models = wise.models_along(path, ALPHAS, 'interpolated', never)['params']['backbone']
    for i in range(3):
        scale = np.asarray(models['norm']['scale'])[i]
        np.testing.assert_array_equal(scale, second['params']['backbone']['norm']['scale'])
    assert (np.asarray(models['cls_token'])[0] == first['params']['backbone']['cls_token']).all()


def test_a_tuned_delta_goes_from_the_bare_backbone_to_the_tuned_model() -> None:
    built, first, second = pair('lora', method_options={'rank': 2})
    path = wise.ends(built, first, second)
    models = wise.models_along(path, ALPHAS, 'interpolated', never)['params']
    qkv = models['tuner']['block_0.attention.qkv']
    own = second['params']['tuner']['block_0.attention.qkv']
    for i, alpha in enumerate(ALPHAS):
        np.testing.assert_array_equal(np.asarray(qkv['down']['kernel'])[i], own['down']['kernel'])
        np.testing.assert_allclose(
            np.asarray(qkv['up']['kernel'])[i], alpha * own['up']['kernel'], rtol=1e-6
        )


def test_models_of_different_structure_have_no_path() -> None:
    built, first, second = pair()
    del second['params']['backbone']['norm']
    with pytest.raises(UserError, match='params/backbone/norm/bias: only in the pre-trained model'):
        wise.ends(built, first, second)
    built, first, second = pair('vpt')
    with pytest.raises(UserError, match='no pre-trained end to interpolate from: its prompts'):
        wise.ends(built, first, second)


def test_the_best_on_held_out_clouds_is_chosen_and_of_equals_the_smallest_alpha() -> None:
    curve = [{'wise': {'validation': v, 'test': 1 - v}} for v in (0.2, 0.7, 0.7, 0.6)]
    assert wise.best_alpha(curve, 'wise') == 1


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """The experiment of a very small model on few clouds."""
    config = wise_ft_lp.get_config('recon')
    config.folder = str(folder)
    config.seeds = (0,)
    config.points = 64
    config.data.update(num_points=64, train_size=60, test_size=30)
    config.source.num_points = 64
    config.source.update(train_size=45, test_size=30)
    geometry = {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4}
    config.model.geometry = ConfigDict({**geometry, 'drop_path': 0.0})
    config.pretraining = made = pretrain.get_config()
    made.points = 64
    made.model.geometry = ConfigDict({**geometry, 'drop_path': 0.0})
    made.data.update(train_size=30, test_size=15)
    made.data.num_points = 64
    made.pretrain.decoder = ConfigDict({'decoder_depth': 1, 'decoder_heads': 2})
    for part in (config, made):
        part.train.update(epochs=2, batch_size=15)
        part.optim.warmup = 1
    config.validation.fraction = 0.25
    config.wise.update(settings=('obj_only',), alphas=ALPHAS)
    config.few_shot.update(ways=(3,), shots=(2,), queries=2, folds=2)
    config.corruptions.severities = (2,)
    config.probe.epochs = 2
    config.update_from_flattened_dict(changes)
    return config


def short(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """`tiny` from random weights, and without corruptions."""
    config = tiny(folder, **{'corruptions.suite': '', 'init.checkpoint': '', **changes})
    config.pretraining = ConfigDict()
    return config


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, object]:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp('wise')
    return folder, wise_experiment.run(short(folder), 'python run.py').record


@pytest.mark.slow
def test_an_experiment_leaves_its_report_figures_and_the_chosen_model(
    run: tuple[pathlib.Path, object], tmp_path: pathlib.Path
) -> None:
    folder, found = run
    report = (folder / 'report.md').read_text()
    for word in ('python run.py', 'WiSE-FT-LP', 'linear probing', "The paper's claims here"):
        assert word in report
    figures = ('svm', 'target', 'few_shot', 'plane', 'statistics', 'distance')
    assert all((folder / f'{name}.png').stat().st_size > 5000 for name in figures)
    [seed] = found.settings['obj_only']
    assert set(seed.curves) == set(CHOICES)
    assert [point['alpha'] for point in seed.curves['reestimated']] == list(ALPHAS)
    chosen = saved.load_run(folder / 'obj_only' / 'seed_0' / 'chosen')
    np.save(tmp_path / 'cloud.npy', np.random.default_rng(0).standard_normal((64, 3)))
    one = str(folder / 'obj_only/seed_0/chosen')
    [row], _ = predict.predict_files(one, [str(tmp_path)], top=1)
    assert row['classes'][0] in chosen.metadata['classes']


@pytest.mark.slow
def test_an_experiment_that_pretrains_and_probes_through_the_backbones(
    tmp_path: pathlib.Path,
) -> None:
    config = tiny(tmp_path, **{'probe.augment': 'scale_translate', 'wise.alphas': (0.0, 1.0)})
    found = wise_experiment.run(config, 'python run.py').record
    [seed] = found.settings['obj_only']
    point = seed.curves['reestimated'][0]
    suite = corruptions.SUITES['modelnet_c_regenerated']
    assert point['wise_lp']['corrupted'].keys() == suite.keys()
    assert (tmp_path / 'corruptions.png').exists()
    assert (tmp_path / 'pretrained' / 'report.md').exists()


@pytest.mark.slow
def test_at_one_without_probing_it_is_the_fine_tuned_model(
    run: tuple[pathlib.Path, object],
) -> None:
    folder, found = run
    [seed] = found.settings['obj_only']
    result = json.loads((folder / 'obj_only' / 'result.json').read_text())
    confusion = np.array(result['seeds'][0]['chosen']['confusion'])
    for choice in ('reestimated', 'interpolated', 'finetuned'):
        accuracy = seed.curves[choice][-1]['wise']['test']
        np.testing.assert_allclose(accuracy, np.trace(confusion) / confusion.sum(), atol=1e-6)


@pytest.mark.slow
def test_a_stage_that_is_done_is_not_done_again(
    run: tuple[pathlib.Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = run

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('measured again')

    monkeypatch.setattr(wise, 'measure', refuse)
    again = wise_experiment.run(short(folder), 'python run.py').record
    assert again.settings['obj_only'][0].curves == found.settings['obj_only'][0].curves


@pytest.mark.slow
def test_a_probe_at_zero_is_linear_probing_of_the_pretrained_backbone(
    run: tuple[pathlib.Path, object], tmp_path: pathlib.Path
) -> None:
    """That is, of what the run started from; `test_protocols` has probing on features itself."""
    folder, _ = run
    config = short(folder, **{'probe.head': 'fresh'})
    model = saved.load_run(folder / 'obj_only' / 'seed_0').model
    start, _ = build.load_start(config, model, 0)
    tuned = saved.load_run(folder / 'obj_only' / 'seed_0').variables
    path: Ends = wise.ends(model, start, tuned)
    fresh = {name: tree.get('head', {}) for name, tree in start.items()}
    source = build.read(config.source, 'source')
    bench = _wise_measurements.make(config, model, fresh, source, {}, tmp_path, 0)
    models = wise.models_along(path, (0.0, 1.0), 'interpolated', never)
    points = bench.target['train'].points
    found = bench.probe(models, bench.target_features(models, points)[HEAD], (0.0, 1.0))

    predict_features = inference.make_predict(model.module, make_mesh(), 15, method='features')
    alone = _wise_measurements.probe.train_heads(
        model.module.head,
        features.stack(fresh),
        predict_features(start, points)[None],
        bench.target['train'].labels,
        _wise_measurements._optimizer(config, len(points))[0],
        epochs=config.probe.epochs,
        batch_size=config.probe.batch_size,
        seed=0,
        smoothing=config.train.smoothing,
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-3, atol=1e-3)


MISTAKES = {
    'alpha beyond one': (
        {'wise.alphas': (0.0, 1.0, 1.5)},
        r'wise.alphas has 1.5; expected numbers',
    ),
    'alphas without the ends': ({'wise.alphas': (0.5,)}, '0 and 1 among them'),
    'nothing held out': ({'validation.fraction': 0.0}, 'no held-out clouds are left to choose'),
    'chosen on the test split': ({'select': 'best_test_epoch'}, 'no held-out clouds are left'),
    'an unknown SVM': ({'svm.classifier': 'rbf'}, "svm.classifier is 'rbf'; expected LinearSVC or"),
    'an unknown head': ({'probe.head': 'old'}, "probe.head is 'old'; expected continue or fresh"),
    'unknown statistics': ({'wise.statistics': ('mean',)}, "statistics is 'mean'; expected one of"),
    'no setting': ({'wise.settings': ()}, 'wise.settings is empty'),
    'an unknown suite': ({'corruptions.suite': 'rain'}, "no suite 'rain' of corruptions"),
    'a severity too many': ({'corruptions.severities': (6,)}, 'severity is 6; expected 1'),
    'an unknown augmentation': ({'probe.augment': 'flip'}, "no augmentation 'flip'"),
    'fewer shapes than shots': ({'few_shot.shots': (4,)}, '4 shots a class, but of the training'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        wise_experiment.run(tiny(tmp_path, **changes))
