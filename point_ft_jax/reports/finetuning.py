"""The report of a run: report.md with its pictures, and result.json with the same in numbers."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from point_ft_jax.core import json_files
from point_ft_jax.core.errors import raise_all
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.evaluation.part_metrics import PartEvaluation
from point_ft_jax.reports import classification, figures, part_segmentation, tables
from point_ft_jax.reports.part_segmentation import Gallery

SELECTIONS = {
    'validation': 'epoch best on the validation split',
    'best_test_epoch': "best test epoch (the papers' protocol; optimistic)",
    'last_epoch': 'last epoch',
}
BATCH_NORM = {
    'hold': 'the statistics of frozen layers held',
    'update': 'all statistics updated, as the reference does',
}
ACCURACY = 'Accuracy, %'
# Panel -> its metrics, each with a name for the legend; colours by Okabe and Ito.
PANELS = {
    'Training loss': {'train_loss': 'training'},
    ACCURACY: {'validation_accuracy': 'validation', 'test_accuracy': 'test'},
    'Instance mIoU, %': {'validation_instance_miou': 'validation', 'test_instance_miou': 'test'},
    'Learning rate': {'learning_rate': 'learning rate'},
    'Gradient norm': {'gradient_norm': 'gradient norm'},
}
COLOURS = {
    f'{split}_{score}': colour
    for split, colour in (('validation', '#009E73'), ('test', '#D55E00'))
    for score in ('accuracy', 'instance_miou')
}
KINDS = ('chosen', 'voted', 'best_test', 'last')


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """What one seed gave.

    Attributes:
        seed: the seed.
        chosen: the test set at the epoch that the protocol chooses.
        best_test: at the epoch that is best on the test set itself.
        last: at the last epoch.
        voted: at the chosen epoch, with voting.
        history: the lines of `metrics.read`; those of PANELS are drawn.
    """

    seed: int
    chosen: Evaluation | PartEvaluation
    best_test: Evaluation | PartEvaluation | None = None
    last: Evaluation | PartEvaluation | None = None
    voted: Evaluation | PartEvaluation | None = None
    history: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What the numbers mean.

    Attributes:
        data: the data set and its variant.
        points: points a cloud.
        augmentation: of the training clouds, in words.
        selection: how the epoch is chosen, a key of SELECTIONS.
        batch_norm: what happens to its statistics, a key of BATCH_NORM.
        votes: 0 without voting.
    """

    data: str
    points: int
    augmentation: str
    selection: str
    batch_norm: str
    votes: int = 0


@dataclasses.dataclass(frozen=True)
class Cost:
    """What it took: bytes by XLA and on disk, FLOPs a training step, seconds, training clouds/s."""

    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    output_bytes: int | None = None
    flops_per_step: float | None = None
    compile_seconds: float | None = None
    train_seconds: float | None = None
    clouds_per_s: float | None = None
    delta_bytes: int | None = None
    model_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report is written from.

    Attributes:
        name: of the config.
        command: that made it.
        protocol: what the numbers mean.
        classes: C names.
        seeds: one result or more.
        parameters: part of the model -> (parameters, trainable parameters).
        cost: what it took.
        gallery: shapes to be drawn, of a part segmenter.
    """

    name: str
    command: str
    protocol: Protocol
    classes: Sequence[str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    cost: Cost = Cost()
    gallery: Gallery | None = None


def write_report(folder: str | os.PathLike, report: Report) -> pathlib.Path:
    """Writes report.md, its pictures (curves.png with a history) and result.json.

    The same report gives the same files.

    Returns:
        The path of report.md.

    Raises:
        UserError: no seed, a confusion matrix that is not [C, C], an unknown selection or treatment
            of batch norm; all at once.
    """
    raise_all(_problems(report), f'cannot report {report.name}:')
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    particular = details(report).figures(report.classes, _chosen(report), report.gallery)
    for name, figure in {'curves': draw_curves(report), **particular}.items():
        if figure is not None:
            # The version of matplotlib would be in the file otherwise.
            figure.savefig(folder / f'{name}.png', dpi=120, metadata={'Software': None})
    result = json.dumps(json_files.plain(summary(report)), indent=1, allow_nan=False)
    (folder / 'result.json').write_text(result + '\n', encoding='utf-8')
    path = folder / 'report.md'
    path.write_text(markdown(report), encoding='utf-8')
    return path


def summary(report: Report) -> dict[str, Any]:
    """The report as nested dicts, with the headline's mean and sample deviation over the seeds."""
    headline = {
        kind: {
            'epochs': [evaluation.epoch for evaluation in evaluations],
            **{name: _mean_std(name, evaluations) for name in details(report).SCORES},
        }
        for kind, evaluations in _headline(report).items()
    }
    return {
        'headline': headline,
        **details(report).summary(report.classes, _chosen(report)),
        **dataclasses.asdict(dataclasses.replace(report, gallery=None)),
    }


def markdown(report: Report) -> str:
    """The text of report.md; it shows the pictures that are next to it."""
    several = len(report.seeds) > 1
    deviation = 'Mean ± sample standard deviation over the seeds.\n\n' if several else ''
    seeds = [{'Seed': str(r.seed), **_cells(report, [r.chosen])} for r in report.seeds]
    sections = {
        details(report).TITLE: deviation + tables.markdown(_headline_rows(report)),
        'Seeds': tables.markdown(seeds) if several else '',
        'Curves': tables.picture('curves', 'Dots: the chosen epoch.') if _panels(report) else '',
        **details(report).sections(report.classes, _chosen(report), report.gallery),
        'Parameters': tables.markdown(_parameter_rows(report.parameters)),
        'Memory and time': tables.markdown(cost_rows(report.cost)),
    }
    parts = [f'# {report.name}', f'```\n{report.command}\n```', _protocol(report)]
    parts += [f'## {title}\n\n{body}' for title, body in sections.items() if body]
    return '\n\n'.join(parts) + '\n'


def draw_curves(report: Report) -> Figure | None:
    """The metrics over the epochs, a thin line a seed; None without a history."""
    panels = _panels(report)
    if not panels:
        return None
    rows, columns = (len(panels) + 1) // 2, min(2, len(panels))
    figure = Figure(figsize=(4.6 * columns, 3 * rows), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, series) in zip(grid, panels.items(), strict=False):
        for name, label in series.items():
            _draw_series(axes, report, name, label)
        axes.set_title(title, fontsize=10, loc='left')
        axes.set_xlabel('epoch', fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.tick_params(labelsize=8)
        figures.plain(axes)
        if len(series) > 1 or title == ACCURACY:
            axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def _problems(report: Report) -> list[str]:
    protocol = report.protocol
    problems = [] if report.seeds else ['no seed has a result']
    for name, choices in (('selection', SELECTIONS), ('batch_norm', BATCH_NORM)):
        found = getattr(protocol, name)
        if found not in choices:
            problems.append(f'{name} is {found!r}; expected one of {", ".join(choices)}')
    for kind in KINDS:
        given = [r.seed for r in report.seeds if getattr(r, kind) is not None]
        if given and len(given) < len(report.seeds):
            problems.append(f'{kind} is given for seeds {given} only; expected all seeds or none')
        if kind == 'voted' and bool(given) != (protocol.votes > 0):
            problems.append(f'{protocol.votes} votes, but {len(given)} seeds have a voted result')
        for result in report.seeds:
            evaluation = getattr(result, kind)
            if evaluation is not None:
                wrong = details(report).problems(evaluation, report.classes)
                problems += [f'{kind}, seed {result.seed}: {problem}' for problem in wrong]
    return problems


def _mean_std(name: str, evaluations: Sequence[Any]) -> dict[str, float | None]:
    values = np.array([evaluation.scores()[name] for evaluation in evaluations])
    return {'mean': values.mean(), 'std': values.std(ddof=1) if len(values) > 1 else None}


def details(report: 'Report') -> ModuleType:
    """The module that says what is particular to what was learned."""
    parts = isinstance(report.seeds[0].chosen, PartEvaluation)
    return part_segmentation if parts else classification


def _headline(report: Report) -> dict[str, list[Any]]:
    """Kind of evaluation -> that of every seed; without those that the chosen one repeats."""
    repeats = {'best_test_epoch': 'best_test', 'last_epoch': 'last'}.get(report.protocol.selection)
    found = {kind: [getattr(result, kind) for result in report.seeds] for kind in KINDS}
    return {
        kind: evaluations
        for kind, evaluations in found.items()
        if kind != repeats and None not in evaluations
    }


def _headline_rows(report: Report) -> list[dict[str, Any]]:
    labels = {
        'chosen': SELECTIONS[report.protocol.selection],
        'voted': f'the same with {report.protocol.votes} votes',
        'best_test': SELECTIONS['best_test_epoch'],
        'last': SELECTIONS['last_epoch'],
    }
    headline = _headline(report).items()
    return [
        {'At the': labels[kind], **_cells(report, evaluations)} for kind, evaluations in headline
    ]


def _cells(report: Report, evaluations: Sequence[Any]) -> dict[str, Any]:
    return {
        'Epoch': ', '.join(str(evaluation.epoch) for evaluation in evaluations),
        **{
            label: tables.percent([evaluation.scores()[name] for evaluation in evaluations])
            for name, label in details(report).SCORES.items()
        },
    }


def _chosen(report: Report) -> list[Any]:
    return [result.chosen for result in report.seeds]


def _parameter_rows(parameters: Mapping[str, tuple[int, int]]) -> list[dict[str, Any]]:
    if not parameters:
        return []
    sums = tuple(map(sum, zip(*parameters.values(), strict=True)))
    return [
        {
            'Part': part,
            'Parameters': total,
            'Trainable': trainable,
            'Trainable, %': f'{100 * trainable / max(total, 1):.2f}',
        }
        for part, (total, trainable) in {**parameters, 'all': sums}.items()
    ]


def cost_rows(cost: Cost) -> list[dict[str, Any]]:
    """What is known of a cost, a row each."""
    rows = {
        'Arguments of a training step': (cost.argument_bytes, 2**20, 'MiB'),
        'Temporaries': (cost.temporary_bytes, 2**20, 'MiB'),
        'Outputs': (cost.output_bytes, 2**20, 'MiB'),
        'Operations of a training step': (cost.flops_per_step, 1e9, 'GFLOP'),
        'Compilation': (cost.compile_seconds, 1, 's'),
        'Training': (cost.train_seconds, 1, 's'),
        'Delta': (cost.delta_bytes, 2**20, 'MiB'),
        'Whole model': (cost.model_bytes, 2**20, 'MiB'),
        'Training speed': (cost.clouds_per_s, 1, 'clouds/s'),
    }
    return [
        {'What': name, 'Amount': f'{value / unit:,.1f} {unit_name}'}
        for name, (value, unit, unit_name) in rows.items()
        if value is not None
    ]


def _protocol(report: Report) -> str:
    protocol, seeds = report.protocol, [str(result.seed) for result in report.seeds]
    parts = [
        f'{protocol.data}, {protocol.points:,} points',
        f'augmentation: {protocol.augmentation}',
        f'reported: {SELECTIONS[protocol.selection]}',
        f'voting: {protocol.votes} votes, in a row of its own' if protocol.votes else 'no voting',
        f'batch norm: {BATCH_NORM[protocol.batch_norm]}',
        f'seed{"s" * (len(seeds) > 1)} {", ".join(seeds)}',
    ]
    return f'**Protocol:** {" · ".join(parts)}.'


def _panels(report: Report) -> dict[str, dict[str, str]]:
    """PANELS without the metrics that no seed has."""
    known = {name for result in report.seeds for record in result.history for name in record}
    panels = {
        title: {name: label for name, label in series.items() if name in known}
        for title, series in PANELS.items()
    }
    return {title: series for title, series in panels.items() if series}


def _draw_series(axes: Axes, report: Report, name: str, label: str) -> None:
    scale = 100 if name.endswith(('accuracy', 'miou')) else 1
    style = {
        'color': COLOURS.get(name, '#0072B2'),
        'linewidth': 0.7 if len(report.seeds) > 1 else 1.3,
    }
    for number, result in enumerate(report.seeds):
        records = [record for record in result.history if name in record]
        epochs = np.array([record['epoch'] for record in records], float)
        values = scale * np.array([record[name] for record in records], float)
        marker = 'o' if len(epochs) < 3 else ''  # a line needs two points
        axes.plot(epochs, values, label=None if number else label, marker=marker, **style)
        if name in COLOURS:
            chosen = epochs == result.chosen.epoch
            axes.plot(epochs[chosen], values[chosen], 'o', markersize=5, **style)
