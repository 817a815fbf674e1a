"""Trackers get the numbers of metrics.jsonl; those whose package is missing are refused."""

import importlib.util
import pathlib

import pytest
from small import build, recipe, splits, start

from point_ft_jax.core.errors import UserError
from point_ft_jax.training import metrics_log, trackers
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan


def test_an_unknown_tracker_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"tensorboard, wandb, mlflow:\n  - .*'tensorbord'"):
        trackers.check(['tensorbord'])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=r'pip install wandb\n.*pip install mlflow-skinny'):
        trackers.check(['wandb', 'mlflow'])


def test_a_run_without_trackers_has_its_metrics_alone(tmp_path: pathlib.Path) -> None:
    with metrics_log.writer(tmp_path, log=()) as write:
        write(1, 1.0, {'loss': 0.5})
    assert [path.name for path in tmp_path.iterdir()] == [metrics_log.FILE]


@pytest.mark.filterwarnings('ignore')  # the package's own
def test_wandb_keeps_the_numbers_offline(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('wandb', reason='pip install wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    with metrics_log.writer(tmp_path / 'run' / 'seed_0', log=('wandb',)) as write:
        write(3, 0.5, {'train_loss': 0.25, 'odd': float('nan')})
        write(6, 1.0, {'train_loss': 0.125})
    [file] = (tmp_path / 'run' / 'seed_0').glob('wandb/offline-run-*/*.wandb')
    data = file.read_bytes()  # records of protobuf, with their values as JSON
    assert data.count(b'train_loss') >= 2
    assert b'0.25' in data
    assert b'0.125' in data
    assert b'NaN' not in data


@pytest.mark.filterwarnings('ignore')  # the package's own
def test_mlflow_gets_the_epochs_of_a_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('mlflow', reason='pip install mlflow-skinny sqlalchemy')
    pytest.importorskip('sqlalchemy', reason='pip install mlflow-skinny sqlalchemy')
    from mlflow import MlflowClient

    monkeypatch.setenv('MLFLOW_TRACKING_URI', f'sqlite:///{tmp_path}/mlflow.db')
    model = build('linear_probe')
    plan = TrainingPlan(epochs=2, batch_size=8, log=('tensorboard', 'mlflow'))
    fit(recipe(model, epochs=2), *start(model), splits(), plan, tmp_path / 'run')
    client = MlflowClient()
    number = client.get_experiment_by_name(trackers.PROJECT).experiment_id
    [run] = client.search_runs([number])
    history = client.get_metric_history(run.info.run_id, 'train_loss')
    lines = metrics_log.read(tmp_path / 'run')
    assert [(m.step, m.value) for m in history] == [(x['step'], x['train_loss']) for x in lines]
    assert run.info.status == 'FINISHED'
    with metrics_log.writer(tmp_path / 'run', 12, log=('mlflow',)) as write:
        write(18, 3.0, {'train_loss': 0.5})
    assert len(client.get_metric_history(run.info.run_id, 'train_loss')) == 3
