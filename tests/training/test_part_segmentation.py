"""The task of part segmentation: what a step sees, what is measured, and a run from a config."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints import torch_file
from point_ft_jax.commands import evaluate as evaluate_checkpoint
from point_ft_jax.commands import export, predict
from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.experiments import build
from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.training import optimizer, schedules
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.tasks import part_segmentation
from point_ft_jax.weight_space import arithmetic

PARTS = ((0, 1), (2, 3, 4))


def clouds(size: int = 3, points: int = 6) -> Split:
    """Clouds whose points have their number as x, and it modulo 2 as part."""
    numbers = np.arange(points, dtype=np.float32)
    xyz = np.zeros((size, points, 3), np.float32) + numbers[None, :, None]
    part = np.zeros((size, points), np.int32) + np.arange(points) % 2
    return Split(xyz, np.zeros(size, np.int32), ('a', 'b'), part, tuple('abcde'), PARTS)


def test_a_subset_is_drawn_with_its_parts() -> None:
    data = clouds()
    targets = part_segmentation.targets_of(data)
    points, drawn = part_segmentation.sample(jax.random.key(0), data.points, targets, 4, False)
    assert points.shape == (3, 4, 3)
    numbers = np.asarray(points[..., 0])
    assert all(len(set(row)) == 4 for row in numbers)
    np.testing.assert_array_equal(drawn['part'], numbers % 2)


def test_with_replacement_only_a_clouds_own_points_are_drawn() -> None:
    data = clouds(points=6)
    targets = {**part_segmentation.targets_of(data), 'size': np.array([2, 6, 1], np.int32)}
    points, drawn = part_segmentation.sample(jax.random.key(0), data.points, targets, 200, True)
    numbers = np.asarray(points[..., 0])
    assert [set(row) for row in numbers] == [{0, 1}, set(range(6)), {0}]
    np.testing.assert_array_equal(drawn['part'], numbers % 2)


@pytest.mark.parametrize('replacement', [False, True])
def test_what_is_tested_is_always_the_same(replacement: bool) -> None:
    first, second = (part_segmentation.prepare(clouds(), 4, replacement) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    points, targets = first
    np.testing.assert_array_equal(targets['part'], points[..., 0] % 2)
    assert (len(np.unique(points[0, :, 0])) == 4) or replacement


def test_only_parts_of_the_category_are_answered() -> None:
    logits = jnp.array([[[9.0, 1, 2, 3, 4]], [[9.0, 1, 2, 3, 4]]])
    answers = part_segmentation.decide(logits, jnp.array([0, 1]), PARTS)
    assert answers.tolist() == [[0], [4]]


def test_the_papers_double_step_is_two_steps_the_second_clipped() -> None:
    tree = {'head': {'kernel': jnp.array([[1.0, -2.0]])}}
    gradients = {'head': {'kernel': jnp.array([[30.0, 40.0]])}}
    schedule = schedules.make_schedule(
        'cosine_by_epoch', 0.1, epochs=4, warmup=1, steps_per_epoch=2
    )
    twice = optimizer.make(schedule, weight_decay=0.05, clip=10.0, double_step=True, undecayed=())
    once = optimizer.make(schedule, weight_decay=0.05, clip=None, undecayed=())
    state, expected = twice.init(tree), tree
    # The same schedule by hand: each of its values for two steps of the inner optimizer.
    inner = optimizer.make(
        lambda count: schedule(count // 2), weight_decay=0.05, clip=None, undecayed=()
    )
    by_hand = inner.init(tree)
    for _ in range(6):
        updates, state = twice.update(gradients, state, tree)
        tree = optax.apply_updates(tree, updates)
        for scale in (1.0, 10.0 / 50.0):
            scaled = jax.tree.map(lambda g, s=scale: s * g, gradients)
            updates, by_hand = inner.update(scaled, by_hand, expected)
            expected = optax.apply_updates(expected, updates)
        np.testing.assert_allclose(tree['head']['kernel'], expected['head']['kernel'], rtol=1e-6)
    alone, _ = once.update(gradients, once.init(tree), tree)
    assert not np.allclose(alone['head']['kernel'], 0)


def test_an_unknown_sampling_lists_those_there_are() -> None:
    with pytest.raises(UserError, match="sampling is 'all'; expected one of subset, with_repl"):
        part_segmentation.part_segmentation(PARTS, 5, 'all')


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """Two epochs of a very small segmenter on a few embedded shapes."""
    config = default()
    config.name = 'tiny'
    config.folder = str(folder)
    config.task = 'part_segmentation'
    config.points = 48
    config.data.update(style='cad', num_points=64, train_size=60, test_size=30)
    config.model.backbone = 'point_mae'
    config.model.geometry.update(
        width=12, heads=2, depth=3, num_groups=8, group_size=4, drop_path=0.0
    )
    config.model.head = ConfigDict({'propagation': (16, 12), 'widths': (12, 8)})
    config.train.update(epochs=2, batch_size=15, augment='scale_isotropic+shift')
    config.optim.warmup = 1
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run, as the papers train."""
    folder = tmp_path_factory.mktemp('run')
    papers = {
        'sampling': 'with_replacement',
        'optim.double_step': True,
        'train.halve_momentum_every': 1,
        'vote.votes': 2,
        'vote.augment': 'shift',
    }
    finetune.run(tiny(folder, **papers), 'python run.py')
    return folder


def test_a_run_leaves_pictures_tables_and_scores(run: pathlib.Path) -> None:
    report = (run / 'report.md').read_text()
    for text in (
        'points drawn with replacement',
        'Instance mIoU, %',
        'the same with 2 votes',
        '![parts](parts.png)',
        '![worst](worst.png)',
        '| toilet   |',
    ):
        assert text in report
    assert {'parts.png', 'worst.png', 'curves.png'} <= {path.name for path in run.iterdir()}
    result = json.loads((run / 'result.json').read_text())
    assert set(result['miou_by_category']) >= {'bag', 'toilet'}
    assert len(result['seeds'][0]['chosen']['ious']) == 30
    assert 0 < result['headline']['chosen']['instance_miou']['mean'] < 1


def test_a_finished_run_is_read_back_to_the_same_report(run: pathlib.Path) -> None:
    before = (run / 'report.md').read_text().split('## Memory')[0]
    config = ConfigDict(json.loads((run / 'config.json').read_text()))
    finetune.run(config, 'python run.py')
    assert (run / 'report.md').read_text().split('## Memory')[0] == before


def test_the_saved_and_the_exported_model_give_the_reports_scores(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    text = evaluate_checkpoint.evaluated(str(run), None, 16)
    result = json.loads((run / 'result.json').read_text())
    miou = 100 * result['headline']['chosen']['instance_miou']['mean']
    assert f'instance mIoU {miou:.2f} %' in text
    path = tmp_path / 'model.pth'
    export.export(str(run), str(path))
    state, _ = torch_file.state_dict(path)
    assert 'propagation_0.mlp_convs.0.weight' in state
    config = ConfigDict(json.loads((run / 'config.json').read_text()))
    again = evaluate_checkpoint.evaluated(str(path), config, 16)
    assert again.splitlines()[2:] == text.splitlines()[2:]


@pytest.mark.slow
def test_answers_of_a_segmenter_come_batch_by_batch(run: pathlib.Path) -> None:
    live = saved.load_run(run)
    points = np.random.default_rng(0).uniform(-1, 1, (5, 48, 3)).astype(np.float32)
    categories = np.arange(5, dtype=np.int32)
    batched = inference.in_batches(live.model.module.apply, make_mesh(), 2)
    found = batched(live.variables, points, categories)
    expected = live.model.module.apply(live.variables, points, categories)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_classes_are_not_predicted_by_a_segmenter(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'cloud.npy'
    np.save(path, np.random.default_rng(0).normal(size=(64, 3)))
    with pytest.raises(UserError, match='segments parts, and what is predicted here are classes'):
        predict.predict_files(str(run), [str(path)])


MISTAKES = {
    'unknown task': ({'task': 'segment'}, "task is 'segment'; expected one of classification, par"),
    'unknown sampling': ({'sampling': 'all'}, "sampling is 'all'; expected one of subset"),
    'more points than there are': (
        {'points': 128},
        'takes 128 points and the clouds of train, test, validation have 64',
    ),
    'option of no head': ({'model.head': ConfigDict({'outputs': 3})}, 'head has no option outputs'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_in_the_config_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        finetune.run(tiny(tmp_path / 'run', **changes))


def test_data_without_part_labels_is_refused(tmp_path: pathlib.Path) -> None:
    r = np.random.default_rng(0)
    for name in 'ab':
        (tmp_path / 'data' / name).mkdir(parents=True)
        for number in range(3):
            np.save(tmp_path / 'data' / name / f'{number}.npy', r.normal(size=(64, 3)))
    config = tiny(tmp_path / 'run')
    config.data = ConfigDict({'name': 'folder', 'root': str(tmp_path / 'data')})
    with pytest.raises(
        UserError,
        match="data set 'folder' has no part labels, which the task part_segmentation needs",
    ):
        finetune.run(config)


@pytest.mark.slow
def test_a_segmenter_is_interpolated_and_probed_as_a_classifier_is(tmp_path: pathlib.Path) -> None:
    """WiSE-FT-LP's three steps: all fine-tuned, the backbones mixed, the head trained further."""
    config = tiny(tmp_path, **{'train.epochs': 1, 'optim.warmup': 0})
    splits = build.load_splits(config)
    train = splits['train']
    built = build.build_model(config, len(train.classes), len(train.part_names))
    task = build.task_of(config, train)
    recipe = build.make_recipe(config, built, len(train) // 15, make_mesh(), task)

    def tuned(start: dict, patterns: tuple[str, ...]) -> dict:
        chosen = trees.select(start['params'], patterns)
        return fit(recipe, start, chosen, splits, TrainingPlan(1, 15)).variables

    before = built.init(jax.random.key(0))
    after = tuned(before, ('*',))
    ends = (tree['params']['backbone'] for tree in (before, after))
    mixed = {**after['params'], 'backbone': arithmetic.interpolate(*ends, 0.5)}
    probed = tuned({**after, 'params': mixed}, ('head/*',))
    jax.tree.map(np.testing.assert_array_equal, probed['params']['backbone'], mixed['backbone'])
    head = trees.flatten(probed['params']['head'])
    old = trees.flatten(after['params']['head'])
    assert all(np.any(np.asarray(head[path]) != np.asarray(old[path])) for path in head)
