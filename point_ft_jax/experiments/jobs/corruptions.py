"""The accuracy of a finished run on corrupted test clouds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions, inference
from point_ft_jax.evaluation.adaptation import check_adaptation, make_adapted, needs_source
from point_ft_jax.evaluation.corruptions import official
from point_ft_jax.evaluation.corruptions import scores as corruption_scores
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs._frozen_model import (
    Result,
    finish,
    judged_facts,
    judged_run,
)
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.reports import tables
from point_ft_jax.reports.report import Report


@dataclasses.dataclass(frozen=True)
class _Suite:
    """What a run is tested on: clean clouds, and each corruption of them by severity."""

    name: str
    clean: Split
    corrupted: Mapping[str, Mapping[int, Split]]


def run(config: ConfigDict, command: str = '') -> Report:
    """The accuracies of a finished run on corrupted test clouds, and what follows from them.

    The official ModelNet-C below `config.corruptions.root`, or `config.corruptions.suite` generated
    from the run's own test clouds. mCE and RmCE are of ModelNet40 alone, whose reference they have.

    With `config.adapt.name` the run adapts to every set of clouds as it answers, each time from the
    weights that it was trained to.

    Raises:
        UserError: no run, an unknown suite, severity or adaptation, missing files, other classes.
    """
    folder, _ = run_folder.begin(config)
    metadata = judged_facts(config)
    own = build.config_of(metadata, config.run)
    suite = _suite(config, own, metadata['points'])
    if tuple(suite.clean.classes) != tuple(metadata['classes']):
        raise UserError(
            f'{config.run} predicts {len(metadata["classes"])} classes, which are not the '
            f'{len(suite.clean.classes)} of {suite.name}'
        )
    run = judged_run(config)  # read last: a mistake in the data is found before
    clean, found = _accuracies(suite, run, _predictor(config, run))
    result: Result = {'suite': suite.name, 'clean': clean, 'accuracies': found}
    result['accuracy'] = 1 - corruption_scores.mean_error(found)
    if own.data.name == 'modelnet40' and found.keys() == corruption_scores.DGCNN.keys():
        result |= corruption_scores.corruption_errors(clean, found)
    result['adapt'] = config.adapt.name
    rows = _rows(clean, found)
    devices.say(tables.text(rows))
    parts = {'clouds': 0, 'rows': rows, 'corruptions': found, 'clean': clean}
    return finish(config, folder, command, result, _label(result), **parts)


def _suite(config: ConfigDict, own: ConfigDict, num_points: int) -> _Suite:
    """The official files, or a suite made of the test clouds of the run's `own` config."""
    plan = config.corruptions
    if plan.root:
        official.check(plan.root)
        corrupted = {
            kind: {level + 1: official.read(plan.root, kind, level) for level in official.LEVELS}
            for kind in corruptions.modelnet_c.CORRUPTIONS
        }
        return _Suite('ModelNet-C (official files)', official.read(plan.root), corrupted)
    clean, corrupted = corruptions.regenerate(
        build.load_splits(own)['test'],
        plan.suite,
        plan.severities,
        plan.clouds,
        num_points,
        lambda kind: devices.say(f'made: {kind}'),
    )
    return _Suite(plan.suite, clean, corrupted)


def _predictor(config: ConfigDict, run: TunedModel) -> inference.Predict:
    """The run's logits, adapting at test time if the config says so."""
    adapt, size = config.adapt, config.train.batch_size
    if not adapt.name:
        return inference.make_predict(run.model.module, make_mesh(), size)
    options = adapt.options.to_dict()
    check_adaptation(adapt.name, options)
    if needs_source(adapt.name):
        own = build.config_of(run.metadata, config.run)
        train = build.load_splits(own)['train']
        options['source'] = inference.prepare(train.points, run.metadata['points'])
    return make_adapted(adapt.name, run.model.module, make_mesh(), size, options)


def _accuracies(
    suite: _Suite, run: TunedModel, predict: inference.Predict
) -> tuple[float, dict[str, dict[int, float]]]:
    """The accuracy on the clean clouds, and corruption -> severity -> accuracy; fractions."""

    def accuracy(split: Split) -> float:
        points = inference.prepare(split.points, split.points.shape[1])
        return float(np.mean(predict(run.variables, points).argmax(-1) == split.labels))

    found = {}
    for kind, levels in suite.corrupted.items():
        found[kind] = {severity: accuracy(split) for severity, split in levels.items()}
        devices.say(f'{kind}: {_percent(found[kind])} %')
    return accuracy(suite.clean), found


def _percent(levels: Mapping[int, float]) -> str:
    return f'{100 * np.mean(list(levels.values())):.2f}'


def _rows(clean: float, found: Mapping[str, Mapping[int, float]]) -> list[dict[str, str]]:
    """A row for the clean clouds and for each corruption, in percent."""
    return [
        {'corruption': 'clean', 'mean': f'{100 * clean:.2f}'},
        *(
            {
                'corruption': kind,
                'mean': _percent(levels),
                **{f'severity {s}': f'{100 * v:.2f}' for s, v in levels.items()},
            }
            for kind, levels in found.items()
        ),
    ]


def _label(result: Mapping[str, Any]) -> str:
    """What the accuracy is, with the errors against the reference and the adaptation, if any."""
    errors = ', '.join(f'{k} {result[k]:.3f}' for k in ('mCE', 'RmCE', 'mOA') if k in result)
    adapting = f', {result["adapt"]}' if result['adapt'] else ''
    return f'{result["suite"]}, mean over all {errors}'.rstrip() + adapting
