"""The comparison of methods: a table and a figure."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from point_ft_jax.reports import figures, intervals, tables
from point_ft_jax.reports.report import Picture, Report, Section, Table

CAPTION = (
    'Accuracy on the test split, mean over the seeds, with the half width of its 95 % interval by '
    "Student's t: how sure the mean is over seeds, on these test clouds. Operations are a cloud's, "
    'of the forward pass and of a training step; memory is that of a training step of one model, '
    "by XLA's analysis; the time of a step was taken in the run, a model's share where several "
    'train in one program.'
)
# Columns of the picture, with their titles; the first has the intervals.
PANELS = {
    'accuracy %': 'test accuracy, %',
    'trainable M': 'trainable, millions',
    'memory MiB': 'step memory, MiB',
    'step GFLOP': 'training, GFLOP',
}
LOGARITHMIC = ('trainable M',)


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the half width of its 95 % interval by Student's t; None of a single value."""
    mean, number = float(np.mean(values)), len(values)
    if number < 2:
        return mean, None
    error = np.std(values, ddof=1) / np.sqrt(number)
    return mean, float(stats.t.ppf(0.975, number - 1) * error)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All that a report is written from.

    Attributes:
        name: of the config.
        command: that made the table.
        protocol: data, augmentation, epochs, seeds and batch size, in a sentence or two.
        rows: a method each; see `experiments.jobs.compare`.
        sources: of what the papers' figures are, and who says so, a line each.
        left_out: methods that do not fit the backbone, and why.
    """

    name: str
    command: str
    protocol: str
    rows: Sequence[Mapping[str, Any]]
    sources: Sequence[str] = ()
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)


def make_report(found: Comparison) -> Report:
    """The report of a comparison."""
    rows = found.rows
    empty = {key for key in rows[0] if not any(row[key] for row in rows)}
    shown = [{k: v for k, v in row.items() if k not in empty} for row in rows]
    misfits = [{'method': name, 'why': why} for name, why in found.left_out.items()]
    listed = '\n'.join(f'- {source}' for source in found.sources)
    caption = 'Dots: measured, with the interval. Squares: the papers, in their setting.'
    return Report(
        title=found.name,
        command=found.command,
        protocol=found.protocol,
        sections=[
            Section('Methods', [Table(shown), CAPTION, *([listed] if listed else [])]),
            Section('Beside each other', [Picture('comparison', plot_methods(rows), caption)]),
            Section('Left out', [Table(misfits)] if misfits else []),
        ],
        result={'methods': list(rows)},
        outcome=tables.text(shown),
        record=found,
        lead=_lead(rows),
        scores={f'Test split: accuracy, %, {row["method"]}': _score(row) for row in rows},
    )


def _lead(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was trained on what, how good it is on which split, how sure that is."""
    best = max(rows, key=lambda row: float(row['accuracy %']))
    sure = (
        f'± {best["± %"]} % is the half width of the 95 % interval of the mean over the seeds'
        if best['± %']
        else 'With one seed nothing is known of how much another one would differ'
    )
    return [
        f'{len(rows)} methods from one backbone, on the same data: '
        f'{", ".join(row["method"] for row in rows)}.',
        f'**Best: {best["method"]}, accuracy {best["accuracy %"]} %** on the test split.',
        f'{sure}; the best of several is optimistic.',
    ]


def _score(row: Mapping[str, Any]) -> str:
    mean, half = float(row['accuracy %']), float(row['± %'] or 'nan')
    bounds = intervals.percent((mean - half) / 100, (mean + half) / 100)
    return row['accuracy %'] + (f' ({bounds})' if bounds else '')


def plot_methods(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A line a method, the best at the top: accuracy with its interval, and what it takes."""
    ordered = sorted(rows, key=lambda row: float(row['accuracy %']))
    figure = Figure(figsize=(10, 0.6 + 0.3 * len(rows)), layout='constrained')
    panels = figure.subplots(1, len(PANELS), sharey=True, squeeze=False, width_ratios=(2, 1, 1, 1))
    places = range(len(ordered))
    for axes, (column, label) in zip(panels[0], PANELS.items(), strict=True):
        values = [float(row[column]) for row in ordered]
        errors = [float(row['± %'] or 0) for row in ordered] if column == 'accuracy %' else None
        axes.errorbar(values, places, xerr=errors, fmt='o', capsize=2, color=figures.BLUE)
        axes.set(xlabel=label, xscale='log' if column in LOGARITHMIC else 'linear')
        if column in LOGARITHMIC:
            figures.plain_logarithm(axes.xaxis)
        figures.clear_frame(axes)
    told = [(float(row['paper %']), y) for y, row in enumerate(ordered) if row['paper %']]
    if told:
        panels[0][0].plot(*zip(*told, strict=True), 's', color=figures.ORANGE, fillstyle='none')
    low, high = panels[0][0].get_xlim()  # of all that is drawn, the papers' figures too
    panels[0][0].set_xlim(max(low, 0), min(high, 100.5))
    panels[0][0].set_yticks(places, [row['method'] for row in ordered])
    return figure
