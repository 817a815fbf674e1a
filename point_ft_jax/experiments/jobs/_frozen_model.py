"""What the evaluation jobs share: a frozen model, its features, and how a result is written.

The model is a finished run (`config.run`), tuner included, or the backbone of
`config.init.checkpoint`. Results are printed, and written to the run's folder as result.json.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import devices
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import features, inference, metrics
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.reports import samples
from point_ft_jax.reports.judgement import Judgement, make_report
from point_ft_jax.reports.report import Report

SAMPLES = ('farthest', 'first')  # points of a cloud, of those it has
Result = dict[str, Any]


def judged_facts(config: ConfigDict) -> dict[str, Any]:
    """What is known of the run that is judged, before its weights are read.

    Raises:
        UserError: no run, or one of other than a classifier.
    """
    if not config.run:
        raise UserError('say which run is to be judged: --config.run=FOLDER')
    spec, metadata = saved.facts(config.run)
    if getattr(spec, 'num_parts', None) is not None:
        raise UserError(f'{config.run} segments parts; this protocol judges classifiers')
    return metadata


def judged_run(config: ConfigDict) -> TunedModel:
    """The run that is judged; errors as `judged_facts` and `load_run`."""
    judged_facts(config)
    return saved.load_run(config.run)


def judged_model(config: ConfigDict, num_classes: int) -> tuple[Model, Variables]:
    """What is judged: a run, or a backbone."""
    if config.run:
        run = judged_run(config)
        return run.model, run.variables
    built = build.build_model(config, num_classes)
    variables, origin = build.load_start(config, built, config.seeds[0])
    devices.say(origin)
    return built, variables


def extractor(
    config: ConfigDict, judged: tuple[Model, Variables]
) -> Callable[[np.ndarray], np.ndarray]:
    """Stored clouds [S, N, 3] to features [S, F]."""
    built, variables = judged
    plan = config.svm
    module = features.reshaped(built.module, plan.geometry)
    num_points = plan.points or config.points
    readout = tuple(plan.readout) or module.readout
    extract = features.make_extract(module, make_mesh(), config.train.batch_size, {'x': readout})
    stack = features.stack(variables)

    def of(points: np.ndarray) -> np.ndarray:
        if plan.sample == 'first':
            points = points[:, :num_points]
        return extract(stack, inference.prepare(points, num_points))['x'][0]

    return of


@dataclasses.dataclass(frozen=True)
class SplitFeatures:
    """Features [S, F] and labels [S] of both splits, all of them; and the names of the classes."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: Sequence[str]


def split_features(config: ConfigDict) -> SplitFeatures:
    """The frozen model's features of the config's data."""
    check(config)
    splits = whole_splits(config)
    classes = splits['train'].classes
    extract = extractor(config, judged_model(config, len(classes)))
    pairs = [(extract(splits[name].points), splits[name].labels) for name in ('train', 'test')]
    return SplitFeatures(*pairs, classes)


def check(config: ConfigDict) -> None:
    """Raises a `UserError` for what is wrong with the config, before data and weights are read."""
    if 'svm' in config and config.svm.sample not in SAMPLES:
        raise UserError(f'svm.sample is {config.svm.sample!r}; expected {" or ".join(SAMPLES)}')
    if config.run:
        judged_facts(config)


def whole_splits(config: ConfigDict) -> Mapping[str, Split]:
    """Nothing held out: no epoch is chosen here."""
    whole = config.copy_and_resolve_references()
    whole.validation.fraction = 0.0
    return build.load_splits(whole)


def finish(
    config: ConfigDict,
    folder: pathlib.Path,
    command: str,
    result: Result,
    label: str,
    **parts: Any,
) -> Report:
    """Prints a result and writes its report.

    Args:
        config: of the job.
        folder: of its run.
        command: that made it.
        result: what result.json holds, 'accuracy' (a fraction) among it.
        label: what the accuracy is, in words.
        parts: other fields of `judgement.Judgement`.
    """
    if not np.isfinite(result['accuracy']):
        raise UserError(f'{label}: the accuracy is {result["accuracy"]}, which is no result')
    of = config.run or run_folder.model_line(config)
    command = run_folder.command_of(folder, command)
    report = make_report(
        Judgement(
            name=config.name,
            command=command,
            protocol=f'{of}; {run_folder.data_line(config)}, {config.points:,} points.',
            model=of,
            label=label,
            accuracy=float(result['accuracy']),
            result={'command': command, **result},
            **parts,
        )
    )
    return run_folder.publish(report, folder)


def parts_of(answers: np.ndarray, found: SplitFeatures) -> dict[str, Any]:
    """The fields of a judgement that answers [S] to the test split's features give."""
    extracted, labels = found.test
    count = len(found.classes)
    return {
        'clouds': len(labels),
        'classes': found.classes,
        'confusion': metrics.confusion_matrix(labels, answers, count),
        'shown': samples.of_features(answers, labels, extracted, count),
    }
