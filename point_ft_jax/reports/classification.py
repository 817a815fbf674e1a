"""The sections of a report on a classifier: confusion matrix, accuracy by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from point_ft_jax.evaluation import metrics
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.reports import tables
from point_ft_jax.reports.report import Picture, Section, Table

TITLE = 'Accuracy on the test set'
SCORES = {
    'overall_accuracy': 'Overall accuracy, %',
    'mean_class_accuracy': 'Mean class accuracy, %',
}
HEADLINE = ('overall_accuracy', 'accuracy %')  # what several models are compared by


def gallery(*_: object) -> None:
    """None: a classifier's report shows no shapes."""


def class_rows(evaluation: Evaluation, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each class: its test clouds and their accuracy."""
    counts = evaluation.confusion.sum(axis=1)
    recall = metrics.per_class_accuracy(evaluation.confusion)
    return [
        {'class': name, 'clouds': int(count), 'accuracy %': f'{100 * value:.2f}'}
        for name, count, value in zip(classes, counts, recall, strict=False)
    ]


def problems(evaluation: Evaluation, classes: Sequence[str]) -> list[str]:
    """What is wrong with an evaluation."""
    found, expected = np.shape(evaluation.confusion), (len(classes),) * 2
    if found == expected:
        return []
    return [f'a confusion matrix of {found}; expected {expected} for the class names']


def summary(classes: Sequence[str], chosen: Sequence[Evaluation]) -> dict[str, Any]:
    """What result.json holds beside the headline."""
    recall = np.mean([metrics.per_class_accuracy(e.confusion) for e in chosen], axis=0)
    return {'accuracy_by_class': dict(zip(classes, recall, strict=True))}


def sections(classes: Sequence[str], chosen: Sequence[Evaluation], _: object) -> list[Section]:
    """The confusion matrix, and the accuracy of every class."""
    summed = 'summed over the seeds, ' if len(chosen) > 1 else ''
    caption = f'In percent of the true class, {summed}rounded.'
    clouds = chosen[0].confusion.sum(axis=1)
    rows = [
        {
            'Class': name,
            'Test clouds': clouds[i],
            'Accuracy, %': tables.percent(
                [metrics.per_class_accuracy(e.confusion)[i] for e in chosen]
            ),
        }
        for i, name in enumerate(classes)
    ]
    matrix = Picture('confusion', plot_confusion(classes, chosen), caption)
    return [Section('Confusion matrix', [matrix]), Section('Accuracy by class', [Table(rows)])]


def plot_confusion(classes: Sequence[str], chosen: Sequence[Evaluation]) -> Figure:
    """The confusion matrix of the chosen epochs, summed over the seeds, in percent of each row."""
    confusion = sum(evaluation.confusion for evaluation in chosen)
    counts = confusion.sum(axis=1, keepdims=True)
    share = 100 * np.divide(confusion, counts, out=np.zeros(confusion.shape), where=counts > 0)
    cell, font = (0.34, 8) if len(confusion) <= 20 else (0.25, 6.5)
    size = 1.6 + cell * len(confusion)
    figure = Figure(figsize=(size + 0.8, size), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    ticks = np.arange(len(confusion))
    axes.set_xticks(ticks, classes, rotation=90, fontsize=font + 1)
    axes.set_yticks(ticks, classes, fontsize=font + 1)
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
