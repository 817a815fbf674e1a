"""The comparison of methods: a table and a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from point_ft_jax.reports import figures, tables
from point_ft_jax.reports.report import Picture, Report, Section, Table


def make_report(
    rows: Sequence[Mapping[str, Any]], title: str, command: str, protocol: str
) -> Report:
    """The report of a comparison.

    Args:
        rows: a method each; see `experiments.jobs.compare`.
        title: of the page.
        command: that made the table.
        protocol: data, augmentation, epochs, seeds and batch size, in a sentence or two.
    """
    caption = (
        'Accuracy on the test split, mean and sample deviation over the seeds; memory is that of a '
        'training step, by XLA; the time of a step was taken in the run.'
    )
    against = 'Accuracy against trainable parameters.'
    return Report(
        title=title,
        command=command,
        protocol=protocol,
        sections=[
            Section('Methods', [Table(rows), caption]),
            Section('Accuracy and size', [Picture('comparison', plot_methods(rows), against)]),
        ],
        result={'methods': list(rows)},
        outcome=tables.text(rows),
        record=rows,
    )


def plot_methods(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy against trainable parameters, a dot a method, with its deviation."""
    figure = Figure(figsize=(6.4, 4.2), layout='constrained')
    axes = figure.subplots()
    for row in rows:
        x, y = float(row['trainable M']), float(row['accuracy %'])
        axes.errorbar(
            x, y, yerr=float(row['deviation'] or 0), fmt='o', capsize=2, color=figures.BLUE
        )
        axes.annotate(row['method'], (x, y), (5, 4), textcoords='offset points', fontsize=8)
    axes.set(xscale='log', xlabel='trainable parameters, millions', ylabel='test accuracy, %')
    axes.margins(x=0.15)
    figures.clear_frame(axes)
    return figure
