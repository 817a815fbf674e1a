"""The figures of a WiSE experiment: the paper's, and those of what it does not show."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports import figures, labels
from point_ft_jax.reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE
from point_ft_jax.reports.wise_curves import alphas_of, corrupted, curve_of, robustness

if TYPE_CHECKING:
    from point_ft_jax.reports.wise import Experiment

LABELS = {'wise': 'WiSE-FT', 'wise_lp': 'WiSE-FT-LP'}
STYLES = {'wise': '--', 'wise_lp': '-'}
CHOICES = {
    'reestimated': (BLUE, 're-estimated'),
    'interpolated': (ORANGE, 'interpolated'),
    'finetuned': (GREEN, 'fine-tuned'),
    'pretrained': (PURPLE, 'pre-trained'),
}


def plot_all(found: 'Experiment') -> dict[str, Figure]:
    """File name -> figure: the paper's, and those of what it does not show."""
    drawn = {
        'svm': _row(found, _draw_svm, 'accuracy on frozen features, %'),
        'target': _row(found, _draw_target, 'target test accuracy, %'),
        'few_shot': _row(found, _draw_few_shot, 'few-shot accuracy, %'),
        'plane': _draw_planes(found),
        'statistics': _row(found, _draw_statistics, 'target test accuracy, %'),
        'distance': _draw_distance(found),
    }
    if corrupted(found):
        drawn['corruptions'] = _row(found, _draw_corruptions, 'accuracy on corrupted clouds, %')
    return drawn


def _row(
    found: 'Experiment',
    draw: Callable[[Axes, 'Experiment', str], None],
    y: str,
    x: str = 'alpha (0: pre-trained, 1: fine-tuned)',
) -> Figure:
    """A panel a setting."""
    count = len(found.settings)
    figure = Figure(figsize=(1 + 3.6 * count, 3.3), layout='constrained')
    for axes, setting in zip(
        figure.subplots(1, count, squeeze=False)[0], found.settings, strict=True
    ):
        draw(axes, found, setting)
        axes.set_title(setting or found.name, fontsize=10, loc='left')
        axes.set_xlabel(x, fontsize=9)
        axes.tick_params(labelsize=8)
        figures.at_most_100(axes)
        figures.clear_frame(axes)
    figure.axes[0].set_ylabel(y, fontsize=9)
    if figure.axes[0].get_legend_handles_labels()[0]:
        figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _draw_planes(found: 'Experiment') -> Figure:
    """SVM accuracy against target accuracy; some alphas are written beside their dots."""
    figure = _row(found, _draw_plane, 'linear SVM, %', 'target test accuracy, %')
    alphas = alphas_of(found)
    places = sorted({0, len(alphas) // 2, len(alphas) - 1})
    for axes, setting in zip(figure.axes, found.settings, strict=True):
        y = curve_of(found, setting, lambda p: p['svm']).mean(0)[places]
        x = [
            curve_of(found, setting, lambda p, kind=kind: p[kind]['test']).mean(0)[places]
            for kind in ('wise', 'wise_lp')
        ]
        names = [f'{alphas[place]:g}' for place in places]
        labels.place(axes, np.concatenate(x), np.tile(y, 2), names * 2, 7)
    return figure


def _line(
    axes: Axes, alphas: np.ndarray, values: np.ndarray, label: str, colour: str, style: str = '-'
) -> None:
    """The mean over the seeds, with their range as a band."""
    axes.plot(alphas, values.mean(0), style, color=colour, label=label, marker='o', markersize=3)
    if len(values) > 1:
        axes.fill_between(alphas, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)


def _draw_svm(axes: Axes, found: 'Experiment', setting: str) -> None:
    alphas = alphas_of(found)
    _line(axes, alphas, curve_of(found, setting, lambda p: p['svm']), 'linear SVM', BLUE)
    near = curve_of(found, setting, lambda p: p['neighbours'])
    _line(axes, alphas, near, 'nearest neighbours', GREY, ':')


def _draw_target(axes: Axes, found: 'Experiment', setting: str) -> None:
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        values = curve_of(found, setting, lambda p, kind=kind: p[kind]['test'])
        _line(axes, alphas_of(found), values, LABELS[kind], colour, STYLES[kind])


def _draw_few_shot(axes: Axes, found: 'Experiment', setting: str) -> None:
    first = found.settings[setting][0].curves[found.statistics[0]][0]
    for name, colour in zip(first['few_shot'], (BLUE, ORANGE, GREEN, PURPLE), strict=False):
        values = curve_of(found, setting, lambda p, name=name: np.mean(p['few_shot'][name]))
        _line(axes, alphas_of(found), values, name, colour)


def _draw_plane(axes: Axes, found: 'Experiment', setting: str) -> None:
    y = curve_of(found, setting, lambda p: p['svm']).mean(0)
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        x = curve_of(found, setting, lambda p, kind=kind: p[kind]['test']).mean(0)
        label = LABELS[kind]
        axes.plot(x, y, STYLES[kind], color=colour, marker='o', markersize=3, label=label)


def _draw_statistics(axes: Axes, found: 'Experiment', setting: str) -> None:
    for choice in found.statistics:
        colour, label = CHOICES[choice]
        values = curve_of(found, setting, lambda p: p['wise']['test'], choice)
        _line(axes, alphas_of(found), values, label, colour, '--')


def _draw_corruptions(axes: Axes, found: 'Experiment', setting: str) -> None:
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        values = curve_of(found, setting, robustness(kind))
        _line(axes, alphas_of(found), values, LABELS[kind], colour, STYLES[kind])


def _draw_distance(found: 'Experiment') -> Figure:
    """How far fine-tuning moved each block."""
    figure = Figure(figsize=(7.5, 3), layout='constrained')
    axes = figure.subplots()
    for setting, colour in zip(found.settings, (BLUE, ORANGE, GREEN), strict=False):
        seeds = found.settings[setting]
        blocks = sorted(seeds[0].distance, key=_block_order)
        values = np.array([[100 * seed.distance[b] for b in blocks] for seed in seeds])
        _line(axes, np.arange(len(blocks)), values, setting, colour)
        axes.set_xticks(np.arange(len(blocks)), blocks, rotation=60, ha='right', fontsize=7)
    axes.set_ylabel('relative distance, %', fontsize=9)
    axes.tick_params(axis='y', labelsize=8)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[['top', 'right']].set_visible(False)
    return figure


def _block_order(block: str) -> tuple:
    """Numbers as numbers: block_2 before block_10."""
    return tuple(int(w) if w.isdigit() else w for w in block.replace('/', '_').split('_'))
