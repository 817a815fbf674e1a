"""Few-shot accuracy, by probing frozen features or by tuning on every fold."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import few_shot
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.fitting import Fitting
from point_ft_jax.experiments.jobs._frozen_model import (
    check,
    extractor,
    finish,
    judged_model,
    whole_splits,
)
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """Few-shot accuracy over folds, by probing frozen features or by tuning on every fold.

    Folds are the official ones below `config.few_shot.root`, or drawn from `config.data`.

    Raises:
        UserError: missing folds, classes with fewer clouds than shots, or what `linear_svm` raises.
        Stopped: Ctrl-C or SIGTERM while a fold is tuned on; finished folds are kept.
    """
    plan = config.few_shot
    if plan.by not in ('probing', 'tuning'):
        raise UserError(f"few_shot.by is {plan.by!r}; expected 'probing' or 'tuning'")
    if plan.pool not in ('splits', 'union'):
        raise UserError(f"few_shot.pool is {plan.pool!r}; expected 'splits' or 'union'")
    check(config)
    folder, _ = run_folder.begin(config)
    if plan.by == 'tuning':
        clouds = _fold_clouds(config)
        found = [_tune(config, *pair, folder, i) for i, pair in enumerate(clouds)]
    elif plan.root:
        extract = extractor(config, judged_model(config, plan.ways))
        found = [_probe_official(extract, *pair, plan.ways) for pair in _fold_clouds(config)]
    else:
        splits = _drawn_splits(config)
        folds = _draw(config, splits)
        extract = extractor(config, judged_model(config, plan.ways))
        train, test = (extract(split.points) for split in splits)
        found = few_shot.probe_folds(train, test, folds).tolist()
    result = {'folds': found, 'accuracy': float(np.mean(found)), 'std': float(np.std(found))}
    rows = [{'fold': i, 'accuracy, %': f'{100 * value:.2f}'} for i, value in enumerate(found)]
    label = f'{plan.ways}-way {plan.shots}-shot by {plan.by}, {len(found)} folds'
    label = f'{label} (± {100 * result["std"]:.2f})'
    return finish(config, folder, command, result, label, clouds=0, rows=rows, folds=found)


def _drawn_splits(config: ConfigDict) -> tuple[Split, Split]:
    splits = whole_splits(config)
    pair = splits['train'], splits['test']
    return few_shot.union(*pair) if config.few_shot.pool == 'union' else pair


def _draw(config: ConfigDict, splits: tuple[Split, Split]) -> list[few_shot.Fold]:
    plan = config.few_shot
    return few_shot.sample_folds(
        *(split.labels for split in splits),
        ways=plan.ways,
        shots=plan.shots,
        queries=plan.queries,
        folds=plan.folds,
        seed=config.seeds[0],
    )


def _fold_clouds(config: ConfigDict) -> list[tuple[Split, Split]]:
    """The clouds of every fold, official or drawn."""
    plan = config.few_shot
    if plan.root:
        return few_shot.read_official(plan.root, plan.ways, plan.shots, plan.folds)
    splits = _drawn_splits(config)
    return [few_shot.take(fold, *splits) for fold in _draw(config, splits)]


def _probe_official(extract: Callable, train: Split, test: Split, ways: int) -> float:
    """The accuracy of a linear probe on a fold with clouds of its own."""
    order = [np.argsort(split.labels, kind='stable') for split in (train, test)]
    fold = few_shot.Fold(np.arange(ways), *order)
    found = few_shot.probe_folds(extract(train.points), extract(test.points), [fold])
    return float(found[0])


def _tune(
    config: ConfigDict, train: Split, test: Split, folder: pathlib.Path, number: int
) -> float:
    """The accuracy after tuning on a fold, at the epoch that `config.select` selects."""
    plan = dataclasses.replace(
        run_folder.plan(config, number), batch_size=min(config.train.batch_size, len(train))
    )
    model = build.build_model(config, len(train.classes))
    task = build.task_of(config, train)
    fitting = Fitting(config, model, {'train': train, 'test': test}, task, plan)
    fitted = fitting.fit_seed(number, folder / f'fold_{number}')
    accuracy = fitted.records['chosen'].scores()['overall_accuracy']
    devices.say(f'fold {number}: {100 * accuracy:.2f} %')
    return accuracy
