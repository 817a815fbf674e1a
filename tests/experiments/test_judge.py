"""The protocols from a config to a result."""

import json
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from small import official, tiny

from configs import corruptions, few_shot, linear_svm, neighbours, voting
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import jobs
from point_ft_jax.experiments.jobs import finetune


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp('run')
    finetune.run(tiny(folder), 'python run.py')
    return folder


def small(config: ConfigDict, folder: pathlib.Path, **changes: object) -> ConfigDict:
    """A config of configs/ on few clouds, for a very small backbone."""
    config.folder = str(folder)
    config.points = 64
    config.init.checkpoint = ''
    config.data = ConfigDict(
        {'name': 'shapes', 'style': 'cad', 'num_points': 64, 'train_size': 60, 'test_size': 30}
    )
    config.model.geometry = ConfigDict(
        {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4}
    )
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.slow
def test_features_of_a_backbone_and_of_a_run_are_judged(
    run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = small(linear_svm.get_config(), tmp_path / 'svm')
    found = jobs.run(config, 'python run.py').result
    assert 0.2 < found['accuracy'] <= 1  # chance: 0.07
    assert (
        json.loads((tmp_path / 'svm' / 'result.json').read_text())['accuracy'] == found['accuracy']
    )
    tuned = {'run': str(run), 'svm.readout': ()}
    found = jobs.run(small(neighbours.get_config(), tmp_path / 'near', **tuned)).result
    assert 0.1 < found['accuracy'] <= 1


TASKS = {'few_shot.ways': 3, 'few_shot.shots': 2, 'few_shot.queries': 2, 'few_shot.folds': 2}


def test_few_shots_by_probing(tmp_path: pathlib.Path) -> None:
    found = jobs.run(small(few_shot.get_config(), tmp_path / 'a', **TASKS)).result
    assert len(found['folds']) == 2
    np.testing.assert_allclose(found['accuracy'], np.mean(found['folds']))


@pytest.mark.slow
def test_few_shots_by_tuning(tmp_path: pathlib.Path) -> None:
    tasks = {**TASKS, 'few_shot.by': 'tuning', 'train.epochs': 2, 'optim.warmup': 1}
    tuned = jobs.run(small(few_shot.get_config(), tmp_path / 'b', **tasks)).result
    assert len(tuned['folds']) == 2
    assert (tmp_path / 'b' / 'fold_1' / 'metrics.jsonl').exists()


def test_official_folds_are_probed(tmp_path: pathlib.Path) -> None:
    official(tmp_path / 'folds', ways=3, shots=2, folds=2)
    tasks = {'few_shot.ways': 3, 'few_shot.shots': 2, 'few_shot.folds': 2, 'points': 32}
    config = small(few_shot.get_config(), tmp_path / 'run', **tasks)
    config.few_shot.root = str(tmp_path / 'folds')
    assert len(jobs.run(config).result['folds']) == 2
    config.few_shot.folds = 3
    config.folder = str(tmp_path / 'other')
    with pytest.raises(UserError, match=r'lacks 1 of 3 folds: 2\.pkl'):
        jobs.run(config)


def test_a_finished_run_votes(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = voting.get_config()
    config.update_from_flattened_dict({'run': str(run), 'folder': str(tmp_path), 'vote.votes': 2})
    config.vote.repeats = 3
    found = jobs.run(config).result
    assert len(found['repeats']) == 3
    assert found['accuracy'] == max(found['repeats'])  # the papers' number
    assert found['mean'] == pytest.approx(np.mean(found['repeats']))
    clouds = 30
    assert found['accuracy'] * clouds == pytest.approx(round(found['accuracy'] * clouds))


@pytest.mark.slow
def test_a_finished_run_is_corrupted(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = corruptions.get_config()
    config.update_from_flattened_dict({'run': str(run), 'folder': str(tmp_path)})
    config.corruptions.severities = (2,)
    found = jobs.run(config).result
    assert len(found['accuracies']) == 7
    assert 'mCE' not in found  # of no reference but ModelNet40's
    result = json.loads((run / 'result.json').read_text())
    confusion = np.array(result['seeds'][0]['chosen']['confusion'])
    np.testing.assert_allclose(found['clean'], np.trace(confusion) / confusion.sum())


MISTAKES = {
    'no run to vote': (voting.get_config, {}, 'say which run is to be judged: --config.run='),
    'no run to corrupt': (corruptions.get_config, {}, 'say which run is to be judged'),
    'no such job': (linear_svm.get_config, {'job': 'judge'}, "there is no 'judge' among the jobs"),
    'an unknown way': (few_shot.get_config, {'few_shot.by': 'luck'}, "few_shot.by is 'luck'"),
    'an unknown pool': (few_shot.get_config, {'few_shot.pool': 'all'}, "few_shot.pool is 'all'"),
    'fewer shapes than shots': (few_shot.get_config, {}, '10 shots a class, but of the training'),
    'an unknown sample': (linear_svm.get_config, {'svm.sample': 'last'}, "svm.sample is 'last'"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    make, changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        jobs.run(small(make(), tmp_path, **changes))
