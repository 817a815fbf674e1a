"""The report of a job that judges a model: SVM, neighbours, few shots, voting, corruptions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.reports import classification, figures, intervals
from point_ft_jax.reports.report import Picture, Report, Section, Table
from point_ft_jax.reports.samples import Samples


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a protocol found of a frozen model.

    Attributes:
        name, command: of the job.
        protocol: what the number means, in words.
        model: what is judged.
        label: what the accuracy is, in words.
        accuracy: a fraction.
        clouds: how many test clouds it is of; 0 where it is a mean over folds or corruptions.
        result: what result.json holds.
        rows: a table of the accuracy's parts.
        folds: the accuracies of which it is the mean.
        corruptions: corruption -> severity -> accuracy.
        clean: the accuracy without corruption.
        classes: C names, where the answers are known.
        confusion: [C, C], row = true class.
        shown: the test clouds, as a fine-tuning's report shows them.
    """

    name: str
    command: str
    protocol: str
    model: str
    label: str
    accuracy: float
    clouds: int
    result: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    folds: Sequence[float] = ()
    corruptions: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    clean: float = float('nan')
    classes: Sequence[str] = ()
    confusion: np.ndarray | None = None
    shown: Samples | None = None


def make_report(found: Judgement) -> Report:
    """The report of a judgement."""
    outcome = f'{found.label}: accuracy {100 * found.accuracy:.2f} %'
    bounds, how = _interval(found)
    of = f'the {found.clouds:,} clouds of the test split' if found.clouds else 'the test clouds'
    number = f'{100 * found.accuracy:.2f}'
    return Report(
        title=found.name,
        command=found.command,
        protocol=found.protocol,
        sections=_sections(found),
        result=found.result,
        outcome=outcome,
        record=found,
        lead=[
            f'{found.model}, judged by: {found.label}.',
            f'**Accuracy {number} %** on {of}.',
            f'95 % interval {intervals.percent(*bounds)} % ({how}).',
        ],
        scores={
            f'Test split: accuracy, %, {found.label}': f'{number} ({intervals.percent(*bounds)})'
        },
    )


def _interval(found: Judgement) -> tuple[tuple[float, float], str]:
    """The 95 % interval of the accuracy, and what it is from."""
    if found.clouds:
        return intervals.wilson(found.accuracy, found.clouds), f'Wilson, {found.clouds:,} clouds'
    parts = [np.mean(list(levels.values())) for levels in found.corruptions.values()]
    kind = 'folds' if found.folds else 'corruptions'
    values = found.folds or parts
    return intervals.bootstrap(values), f'bootstrap over {len(values)} {kind}'


def _sections(found: Judgement) -> list[Section]:
    sections = [Section('Parts of the result', [Table(found.rows)] if found.rows else [])]
    if found.folds:
        caption = 'A dot a fold; the line is their mean, the band its 95 % interval.'
        sections.append(Section('Folds', [Picture('folds', plot_folds(found.folds), caption)]))
    if found.corruptions:
        caption = 'Accuracy on corrupted test clouds, in percent; 0 is the clean ones.'
        picture = Picture('corruptions', plot_corruptions(found), caption)
        sections.append(Section('By corruption and severity', [picture]))
    if found.confusion is not None:
        evaluation = Evaluation(0, np.asarray(found.confusion))
        sections += classification.sections(found.classes, [evaluation], found.shown)
    return sections


def plot_folds(folds: Sequence[float]) -> Figure:
    """The accuracy of every fold."""
    values, places = 100 * np.asarray(folds), np.arange(len(folds))
    low, high = intervals.bootstrap(values)
    figure = Figure(figsize=(5.6, 3.0), layout='constrained')
    axes = figure.subplots()
    axes.axhspan(low, high, color=figures.BLUE, alpha=0.12, linewidth=0)
    axes.axhline(values.mean(), color=figures.BLUE, linewidth=1.0)
    axes.plot(places, values, 'o', color=figures.BLUE, markersize=6)
    axes.set(xlabel='fold', ylabel='accuracy, %')
    figures.whole_numbers(axes.xaxis)
    figures.at_most_100(axes)
    figures.clear_frame(axes)
    return figure


def plot_corruptions(found: Judgement) -> Figure:
    """The accuracy at every severity, a row a corruption."""
    kinds = list(found.corruptions)
    levels = list(next(iter(found.corruptions.values())))
    table = [[found.corruptions[kind].get(level, np.nan) for level in levels] for kind in kinds]
    values = 100 * np.column_stack([np.full(len(kinds), found.clean), np.array(table, float)])
    size = (2.6 + 0.62 * values.shape[1], 1.0 + 0.34 * len(kinds))
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(values, cmap='Blues', vmin=0, vmax=100, aspect='auto')
    axes.set_xticks(range(values.shape[1]), ['0', *map(str, levels)], fontsize=8)
    axes.set_yticks(range(len(kinds)), [kind.replace('_', ' ') for kind in kinds], fontsize=8)
    axes.set_xlabel('severity', fontsize=9)
    for (row, column), value in np.ndenumerate(values):
        colour = 'white' if value > 55 else '#222222'
        text = '' if np.isnan(value) else f'{value:.0f}'
        axes.text(column, row, text, ha='center', va='center', fontsize=8, color=colour)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, pad=0.02)
    bar.set_label('accuracy, %', fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure
