"""The figures of the robust experiment, laid out as the paper's: all settings in one panel."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports import figures
from point_ft_jax.reports.figures import BLUE, GREEN, GREY, ORANGE
from point_ft_jax.reports.robust_evidence import MEASURES, NAMES, Comparison, along, methods

COLOURS = {'pb_t50_rs': '#C62828', 'obj_only': GREEN, 'obj_bg': BLUE}  # hardest, plain, background
STYLES = {'own': ('--', 'WiSE-FT'), 'probed': ('-', 'WiSE-FT-LP')}
LINES = 'Dashed: WiSE-FT; solid: WiSE-FT-LP; bands: the range of the seeds.'
MARKERS = 's^vDoPX*<>'  # of the methods that are no curve
ON_THE_CURVES = ('lp', 'full', 'wise', 'wise_lp')
LEAST = 20.0  # points of accuracy that an axis spans at least


def plot_all(found: Comparison) -> dict[str, Figure]:
    """File name -> figure."""
    drawn = {
        'target': _by_head(found, 'target', 'target test accuracy, %'),
        'transfer': _transfer(found),
        'plane': _plane(found),
        'moved': _moved(found),
    }
    first = next(iter(found.scores.values()))[along(1)]
    if any(name.startswith('corrupted/') for name in first):
        drawn['corrupted'] = _by_head(found, 'corrupted', 'accuracy on corrupted clouds, %')
    return drawn


def _curve(found: Comparison, models: Mapping, start: str, *inside: str) -> np.ndarray:
    """[seeds, alphas] in percent: the mean of the scores that begin so and hold `inside`."""
    found_at = []
    for alpha in found.alphas:
        values = [
            value.mean(-1)
            for name, value in models[along(alpha)].items()
            if name.split('/')[0] == start and set(inside) <= set(name.split('/'))
        ]
        found_at.append(np.mean(values, axis=0))
    return 100 * np.stack(found_at, axis=1)


def _band(
    axes: Axes, x: np.ndarray, values: np.ndarray, label: str, colour: str, style: str
) -> None:
    axes.plot(x, values.mean(0), style, color=colour, label=label, marker='o', markersize=4)
    if len(values) > 1:
        axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.13, lw=0)


def _colour(setting: str) -> str:
    return COLOURS.get(setting, ORANGE)


def _by_head(found: Comparison, start: str, label: str) -> Figure:
    """One panel, a colour a setting, dashed without probing and solid with it."""
    figure = Figure(figsize=(6.4, 4.4), layout='constrained')
    axes = figure.subplots()
    for setting, models in found.scores.items():
        for head, (style, name) in STYLES.items():
            values = _curve(found, models, start, head)
            words = f'{setting}, {name}'
            _band(axes, np.array(found.alphas), values, words, _colour(setting), style)
    _finish(axes, label)
    axes.legend(frameon=False, fontsize=10)
    return figure


def _transfer(found: Comparison) -> Figure:
    """A panel a measure of the frozen features."""
    figure = Figure(figsize=(4.2 * 2, 7.2), layout='constrained')
    for axes, (measure, label) in zip(figure.subplots(2, 2).ravel(), MEASURES.items(), strict=True):
        for setting, models in found.scores.items():
            values = _curve(found, models, measure)
            _band(axes, np.array(found.alphas), values, setting, _colour(setting), '-')
        random = [
            100 * value.mean()
            for models in found.scores.values()
            for name, value in models['random'].items()
            if name.split('/')[0] == measure
        ]
        axes.axhline(np.mean(random), linestyle=':', color=GREY)
        axes.set_title(label, fontsize=12, loc='left')
        _finish(axes, 'accuracy, %')
    figure.axes[0].legend(frameon=False, fontsize=10)
    return figure


def _plane(found: Comparison) -> Figure:
    """Target against the standardised SVM, a panel a setting, every method a point."""
    count = len(found.scores)
    figure = Figure(figsize=(2.4 + 4.6 * count, 4.8), layout='constrained')
    for axes, (setting, models) in zip(
        figure.subplots(1, count, squeeze=False)[0], found.scores.items(), strict=True
    ):
        y = _curve(found, models, 'svm').mean(0)
        for head, (style, name) in STYLES.items():
            x = _curve(found, models, 'target', head).mean(0)
            axes.plot(x, y, style, color=_colour(setting), marker='o', markersize=4, label=name)
            for place in (0, len(y) - 1):
                _note(axes, f'{found.alphas[place]:g}', x[place], y[place], _colour(setting))
        others = {n: read for n, read in methods(found).items() if n not in ON_THE_CURVES}
        for (name, read), marker in zip(others.items(), itertools.cycle(MARKERS), strict=False):
            scores = read(models)
            svm = [v.mean() for k, v in scores.items() if k.startswith('svm/')]
            point = 100 * scores['target'].mean(), 100 * np.mean(svm)
            label = NAMES.get(name, name)
            axes.plot(*point, marker, color='black', markersize=7, fillstyle='none', label=label)
        axes.set_title(setting, fontsize=12, loc='left')
        _finish(axes, 'SVM on transfer sets, %', 'target test accuracy, %')
        _calm(axes.get_xlim, axes.set_xlim)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside right center', frameon=False, fontsize=10)
    return figure


def _note(axes: Axes, text: str, x: float, y: float, colour: str) -> None:
    axes.annotate(text, (x, y), textcoords='offset points', xytext=(5, 4), fontsize=9, color=colour)


def _moved(found: Comparison) -> Figure:
    """How far fine-tuning moved each block, in percent of its norm."""
    figure = Figure(figsize=(7.5, 3.6), layout='constrained')
    axes = figure.subplots()
    for setting, seeds in found.distances.items():
        blocks = sorted(seeds[0], key=_order)
        values = 100 * np.array([[seed[block] for block in blocks] for seed in seeds])
        _band(axes, np.arange(len(blocks)), values, setting, _colour(setting), '-')
        axes.set_xticks(np.arange(len(blocks)), blocks, rotation=60, ha='right', fontsize=9)
    axes.set_ylabel('moved, % of its norm', fontsize=11)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=10)
    figures.clear_frame(axes)
    return figure


def _order(block: str) -> tuple:
    """Numbers as numbers: block_2 before block_10."""
    words = block.replace('/', '_').split('_')
    return tuple((0, int(w), '') if w.isdigit() else (1, 0, w) for w in words)


def _finish(axes: Axes, y: str, x: str = 'alpha (0: pre-trained, 1: fine-tuned)') -> None:
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.tick_params(labelsize=10)
    _calm(axes.get_ylim, axes.set_ylim)
    figures.clear_frame(axes)


def _calm(get: callable, put: callable) -> None:
    """An axis of `LEAST` points at least, so that noise does not look like an effect."""
    low, high = get()
    if high - low < LEAST:
        middle = min(max((low + high) / 2, LEAST / 2), 100 - LEAST / 2)
        put(middle - LEAST / 2, middle + LEAST / 2)
