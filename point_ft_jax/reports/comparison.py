"""The comparison of methods: a table and a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from point_ft_jax.reports import figures, tables
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
    'trainable M': 'trainable parameters, millions',
    'memory MiB': 'memory of a step, MiB',
    'step GFLOP': 'training, GFLOP a cloud',
}
LOGARITHMIC = ('trainable M',)


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the half width of its 95 % interval by Student's t; None of a single value."""
    mean, number = float(np.mean(values)), len(values)
    if number < 2:
        return mean, None
    error = np.std(values, ddof=1) / np.sqrt(number)
    return mean, float(stats.t.ppf(0.975, number - 1) * error)


def make_report(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    command: str,
    protocol: str,
    sources: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> Report:
    """The report of a comparison.

    Args:
        rows: a method each; see `experiments.jobs.compare`.
        title: of the page.
        command: that made the table.
        protocol: data, augmentation, epochs, seeds and batch size, in a sentence or two.
        sources: of what the papers' figures are, and who says so, a line each.
        left_out: methods that do not fit the backbone, and why.
    """
    empty = {key for key in rows[0] if not any(row[key] for row in rows)}
    shown = [{k: v for k, v in row.items() if k not in empty} for row in rows]
    misfits = [{'method': name, 'why': why} for name, why in (left_out or {}).items()]
    listed = '\n'.join(f'- {source}' for source in sources)
    caption = 'Dots: measured, with the interval. Squares: the papers, in their setting.'
    return Report(
        title=title,
        command=command,
        protocol=protocol,
        sections=[
            Section('Methods', [Table(shown), CAPTION, *([listed] if listed else [])]),
            Section('Beside each other', [Picture('comparison', plot_methods(rows), caption)]),
            Section('Left out', [Table(misfits)] if misfits else []),
        ],
        result={'methods': list(rows)},
        outcome=tables.text(shown),
        record=rows,
    )


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
        figures.clear_frame(axes)
    told = [(float(row['paper %']), y) for y, row in enumerate(ordered) if row['paper %']]
    if told:
        panels[0][0].plot(*zip(*told, strict=True), 's', color=figures.ORANGE, fillstyle='none')
    panels[0][0].set_yticks(places, [row['method'] for row in ordered])
    return figure
