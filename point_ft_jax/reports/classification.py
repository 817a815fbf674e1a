"""The sections of a report on a classifier: confusions, classes, calibration, clouds, features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import metrics
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.reports import calibration, figures, intervals, samples, tables
from point_ft_jax.reports.report import Picture, Section, Table
from point_ft_jax.reports.samples import Samples

TITLE = 'Accuracy on the test set'
SCORES = {
    'overall_accuracy': 'Overall accuracy, %',
    'mean_class_accuracy': 'Mean class accuracy, %',
}
HEADLINE = ('overall_accuracy', 'accuracy %')  # what several models are compared by


def gallery(
    evaluation: Evaluation, test: Split, outputs: Callable[[], tuple[np.ndarray, Any, Any]]
) -> Samples:
    """The clouds, probabilities and features that a report shows.

    Args:
        evaluation: of the best epoch.
        test: the test split.
        outputs: computes its points [S, N, 3], logits [S, C] with features [S, F], and labels.
    """
    points, (logits, features), labels = outputs()
    return samples.select(points, logits, np.asarray(labels), features, test.names)


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
    """What result.json holds besides the headline."""
    recall = np.mean([metrics.per_class_accuracy(e.confusion) for e in chosen], axis=0)
    return {'accuracy_by_class': dict(zip(classes, recall, strict=True))}


def clouds_of(evaluation: Evaluation) -> int:
    """How many test clouds an evaluation is of."""
    return int(np.sum(evaluation.confusion))


def interval(chosen: Sequence[Evaluation]) -> tuple[tuple[float, float], str]:
    """The 95 % interval of the headline's mean over seeds, and what kind of interval it is.

    The seeds were tested on the same clouds, so that their number makes it no narrower.
    """
    share = float(np.mean([metrics.overall_accuracy(e.confusion) for e in chosen]))
    return intervals.wilson(share, clouds_of(chosen[0])), 'Wilson'


def sections(
    classes: Sequence[str], chosen: Sequence[Evaluation], shown: Samples | None
) -> list[Section]:
    """Clouds, calibration, the confusion matrix, the accuracy of every class, features."""
    summed = 'summed over the seeds, ' if len(chosen) > 1 else ''
    caption = f'In percent of the true class, {summed}rounded.'
    matrix = Picture('confusion', plot_confusion(classes, chosen), caption)
    sure = "95 % intervals are Wilson's, from the number of test clouds."
    by_class = [
        Picture('classes', plot_classes(classes, chosen), f'The worst class first; {sure}'),
        Table(_class_table(classes, chosen)),
    ]
    if len(classes) < 2:
        by_class = by_class[1:]
    clouds = samples.sections(classes, shown) if shown else []
    sureness = [calibration.section(shown.probabilities, shown.labels)] if shown else []
    planes = samples.feature_sections(classes, shown) if shown else []
    return [
        *clouds,
        Section('Confusion matrix', [matrix]),
        Section('Accuracy by class', by_class),
        *sureness,
        *planes,
    ]


def _order(chosen: Sequence[Evaluation]) -> tuple[np.ndarray, np.ndarray]:
    """The classes from the worst to the best, those without clouds last; and their recall [C]."""
    recall = np.mean([metrics.per_class_accuracy(e.confusion) for e in chosen], axis=0)
    return np.argsort(recall, kind='stable'), recall


def _class_table(classes: Sequence[str], chosen: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """A row a class, the worst first."""
    clouds = chosen[0].confusion.sum(axis=1)
    confusion = sum(evaluation.confusion for evaluation in chosen)
    order, recall = _order(chosen)
    rows = []
    for i in order:
        wrong = confusion[i] * (np.arange(len(classes)) != i)
        rows.append(
            {
                'Class': classes[i],
                'Test clouds': clouds[i],
                'Accuracy, %': tables.percent(
                    [metrics.per_class_accuracy(e.confusion)[i] for e in chosen]
                ),
                '95 % interval': intervals.percent(*intervals.wilson(recall[i], int(clouds[i]))),
                'Most often taken for': classes[wrong.argmax()] if wrong.any() else None,
            }
        )
    return rows


def plot_classes(classes: Sequence[str], chosen: Sequence[Evaluation]) -> Figure:
    """The accuracy of every class that has clouds, the worst at the top, with its interval."""
    order, recall = _order(chosen)
    order = [i for i in order if not np.isnan(recall[i])]
    counts = chosen[0].confusion.sum(axis=1)
    bounds = np.array([intervals.wilson(recall[i], int(counts[i])) for i in order]).reshape(-1, 2)
    values, places = recall[order], np.arange(len(order))
    figure = Figure(figsize=(6.4, 1.0 + 0.24 * len(order)), layout='constrained')
    axes = figure.subplots()
    axes.barh(places, 100 * values, color=figures.BLUE, height=0.66)
    sides = 100 * np.abs(bounds.T - values)
    axes.errorbar(
        100 * values, places, xerr=sides, fmt='none', ecolor='#222222', elinewidth=0.9, capsize=2
    )
    axes.set_yticks(places, [f'{classes[i]} ({counts[i]})' for i in order], fontsize=8)
    axes.set(xlim=(0, 100), xlabel='accuracy, %', ylim=(len(order) - 0.4, -0.6))
    figures.clear_frame(axes)
    axes.grid(axis='y', visible=False)
    return figure


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
