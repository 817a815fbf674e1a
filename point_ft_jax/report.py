"""The report of a run: report.md with its pictures, and result.json with the same in numbers."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from point_ft_jax import metrics, scores, tables
from point_ft_jax.errors import raise_all

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
    'Learning rate': {'learning_rate': 'learning rate'},
    'Gradient norm': {'gradient_norm': 'gradient norm'},
}
COLOURS = {'validation_accuracy': '#009E73', 'test_accuracy': '#D55E00'}
KINDS = ('chosen', 'voted', 'best_test', 'last')


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The test set's [C, C] confusion matrix (row = true class) after an epoch, counted from 1."""

    epoch: int
    confusion: np.ndarray


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
    chosen: Evaluation
    best_test: Evaluation | None = None
    last: Evaluation | None = None
    voted: Evaluation | None = None
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
    """What it took: XLA's memory in bytes, FLOPs a training step, seconds, training clouds/s."""

    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    output_bytes: int | None = None
    flops_per_step: float | None = None
    compile_seconds: float | None = None
    train_seconds: float | None = None
    clouds_per_s: float | None = None


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
    """

    name: str
    command: str
    protocol: Protocol
    classes: Sequence[str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    cost: Cost = Cost()


def write_report(folder: str | os.PathLike, report: Report) -> pathlib.Path:
    """Writes report.md, confusion.png, curves.png (with a history) and result.json.

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
    for name, figure in (('curves', draw_curves(report)), ('confusion', draw_confusion(report))):
        if figure is not None:
            # The version of matplotlib would be in the file otherwise.
            figure.savefig(folder / f'{name}.png', dpi=120, metadata={'Software': None})
    result = json.dumps(metrics.plain(summary(report)), indent=1, allow_nan=False)
    (folder / 'result.json').write_text(result + '\n', encoding='utf-8')
    path = folder / 'report.md'
    path.write_text(markdown(report), encoding='utf-8')
    return path


def summary(report: Report) -> dict[str, Any]:
    """The report as nested dicts, with the headline's mean and sample deviation over the seeds."""
    headline = {
        kind: {
            'epochs': [evaluation.epoch for evaluation in evaluations],
            'overall_accuracy': _mean_std(scores.overall_accuracy, evaluations),
            'mean_class_accuracy': _mean_std(scores.mean_class_accuracy, evaluations),
        }
        for kind, evaluations in _headline(report).items()
    }
    recall = np.mean([scores.per_class_accuracy(r.chosen.confusion) for r in report.seeds], axis=0)
    return {
        'headline': headline,
        'accuracy_by_class': dict(zip(report.classes, recall, strict=True)),
        **dataclasses.asdict(report),
    }


def markdown(report: Report) -> str:
    """The text of report.md; it shows curves.png and confusion.png, next to it."""
    several = len(report.seeds) > 1
    deviation = 'Mean ± sample standard deviation over the seeds.\n\n' if several else ''
    seeds = [{'Seed': str(r.seed), **_cells([r.chosen])} for r in report.seeds]
    summed = 'summed over the seeds, ' if several else ''
    sections = {
        'Accuracy on the test set': deviation + tables.markdown(_headline_rows(report)),
        'Seeds': tables.markdown(seeds) if several else '',
        'Curves': _picture('curves', 'Dots: the chosen epoch.') if _panels(report) else '',
        'Confusion matrix': _picture(
            'confusion', f'In percent of the true class, {summed}rounded.'
        ),
        'Accuracy by class': tables.markdown(_class_rows(report)),
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
        axes.grid(color='#DDDDDD', linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        if title == ACCURACY:
            axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def draw_confusion(report: Report) -> Figure:
    """The confusion matrix of the chosen epochs, summed over the seeds, in percent of each row."""
    confusion = sum(result.chosen.confusion for result in report.seeds)
    counts = confusion.sum(axis=1, keepdims=True)
    share = 100 * np.divide(confusion, counts, out=np.zeros(confusion.shape), where=counts > 0)
    cell, font = (0.34, 8) if len(confusion) <= 20 else (0.25, 6.5)
    size = 1.6 + cell * len(confusion)
    figure = Figure(figsize=(size + 0.8, size), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    ticks = np.arange(len(confusion))
    axes.set_xticks(ticks, report.classes, rotation=90, fontsize=font + 1)
    axes.set_yticks(ticks, report.classes, fontsize=font + 1)
    axes.hlines(ticks[1:] - 0.5, -0.5, ticks[-1] + 0.5, color='#E5E5E5', linewidth=0.5)
    axes.vlines(ticks[1:] - 0.5, -0.5, ticks[-1] + 0.5, color='#E5E5E5', linewidth=0.5)
    axes.set(xlabel='predicted class', ylabel='true class')
    for row, column in np.argwhere(share >= 0.5):
        value = share[row, column]
        colour = 'white' if value > 55 else '#222222'
        axes.text(column, row, f'{value:.0f}', ha='center', va='center', size=font, color=colour)
    bar = figure.colorbar(image, shrink=0.6, pad=0.02)
    bar.set_label('% of the true class', fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _picture(name: str, caption: str) -> str:
    return f'![{name}]({name}.png)\n\n{caption}'


def _problems(report: Report) -> list[str]:
    protocol, expected = report.protocol, np.empty((len(report.classes),) * 2)
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
            found = np.shape(getattr(getattr(result, kind), 'confusion', expected))
            if found != expected.shape:
                problems.append(
                    f'{kind}, seed {result.seed}: a confusion matrix of {found}; '
                    f'expected {expected.shape} for the class names'
                )
    return problems


def _mean_std(
    score: Callable[[np.ndarray], float], evaluations: Sequence[Evaluation]
) -> dict[str, float | None]:
    values = np.array([score(evaluation.confusion) for evaluation in evaluations])
    return {'mean': values.mean(), 'std': values.std(ddof=1) if len(values) > 1 else None}


def _percent(score: Callable[[np.ndarray], float], evaluations: Sequence[Evaluation]) -> str | None:
    """'84.12', or '84.12 ± 0.53' for several evaluations; None without a number."""
    mean, std = _mean_std(score, evaluations).values()
    if np.isnan(mean):
        return None
    return f'{100 * mean:.2f}' + ('' if std is None else f' ± {100 * std:.2f}')


def _headline(report: Report) -> dict[str, list[Evaluation]]:
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
    return [{'At the': labels[kind], **_cells(evaluations)} for kind, evaluations in headline]


def _cells(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    return {
        'Epoch': ', '.join(str(evaluation.epoch) for evaluation in evaluations),
        'Overall accuracy, %': _percent(scores.overall_accuracy, evaluations),
        'Mean class accuracy, %': _percent(scores.mean_class_accuracy, evaluations),
    }


def _class_rows(report: Report) -> list[dict[str, Any]]:
    chosen = [result.chosen for result in report.seeds]
    clouds = chosen[0].confusion.sum(axis=1)
    return [
        {
            'Class': name,
            'Test clouds': clouds[i],
            'Accuracy, %': _percent(lambda c, i=i: scores.per_class_accuracy(c)[i], chosen),
        }
        for i, name in enumerate(report.classes)
    ]


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
    scale = 100 if name.endswith('accuracy') else 1
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
