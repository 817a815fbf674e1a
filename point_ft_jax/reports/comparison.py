"""The comparison of methods: a table and a figure."""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from point_ft_jax.reports import figures, tables


def write(
    folder: pathlib.Path,
    rows: Sequence[Mapping[str, Any]],
    title: str,
    command: str,
    protocol: str,
) -> None:
    """Writes the table as Markdown and CSV, and accuracy against trainable parameters.

    Args:
        folder: where to.
        rows: a method each; see `experiments.jobs.compare`.
        title: of the page.
        command: that made the table.
        protocol: data, augmentation, epochs, seeds and batch size, in a sentence or two.
    """
    text = (
        f'# {title}\n\n```\n{command}\n```\n\n{protocol} Accuracy on the test split, mean and '
        'sample deviation over the seeds; memory is that of a training step, by XLA; the time of a '
        'step was taken in the run.\n\n'
        f'{tables.markdown(rows)}\n\n![accuracy against trainable parameters](comparison.png)\n'
    )
    (folder / 'comparison.md').write_text(text, encoding='utf-8')
    with (folder / 'comparison.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows).savefig(folder / 'comparison.png', dpi=120, metadata={'Software': None})


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy against trainable parameters, a dot a method, with its deviation."""
    figure = Figure(figsize=(6.4, 4.2), layout='constrained')
    axes = figure.subplots()
    for row in rows:
        x, y = float(row['trainable M']), float(row['accuracy %'])
        axes.errorbar(x, y, yerr=float(row['deviation'] or 0), fmt='o', capsize=2, color='#0072B2')
        axes.annotate(row['method'], (x, y), (5, 4), textcoords='offset points', fontsize=8)
    axes.set(xscale='log', xlabel='trainable parameters, millions', ylabel='test accuracy, %')
    axes.margins(x=0.15)
    figures.plain(axes)
    return figure
