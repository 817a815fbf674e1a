"""What the evaluation jobs share: a frozen model, its features, and how a result is written.

The model is a finished run (`config.run`), tuner included, or the backbone of
`config.init.checkpoint`. Results are printed, and written to the run's folder as result.json.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import devices
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import features, inference
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.reports.report import Report, Section, Table

SAMPLES = ('farthest', 'first')  # points of a cloud, of those it has
Result = dict[str, Any]


def judged_run(config: ConfigDict) -> TunedModel:
    if not config.run:
        raise UserError('say which run is to be judged: --config.run=FOLDER')
    run = saved.load_run(config.run)
    if run.model.spec.num_parts is not None:
        raise UserError(f'{config.run} segments parts; this protocol judges classifiers')
    return run


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
    if plan.sample not in SAMPLES:
        raise UserError(f'svm.sample is {plan.sample!r}; expected {" or ".join(SAMPLES)}')
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


def split_features(config: ConfigDict) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Features and labels of the training and of the test split, all of it."""
    splits = whole_splits(config)
    extract = extractor(config, judged_model(config, len(splits['train'].classes)))
    return tuple((extract(splits[n].points), splits[n].labels) for n in ('train', 'test'))


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
    rows: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """Prints a result and writes its report.

    Args:
        config: of the job.
        folder: of its run.
        command: that made it.
        result: what result.json holds, 'accuracy' (a fraction) among it.
        label: what the accuracy is, in words.
        rows: a table of its parts.
    """
    outcome = f'{label}: accuracy {100 * result["accuracy"]:.2f} %'
    of = config.run or config.init.checkpoint or 'random weights'
    report = Report(
        title=config.name,
        command=command,
        protocol=f'{of}; {run_folder.data_line(config)}, {config.points:,} points.',
        sections=[Section('Result', [outcome + '.', *([Table(rows)] if rows else [])])],
        result={'command': command, **result},
        outcome=outcome,
        record=result,
    )
    devices.say(outcome)
    if main_process():
        devices.say(f'report: {report.write(folder)}')
    return report
