"""The figures of the robust experiment, laid out as the paper's: all settings in one panel."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports import figures
from point_ft_jax.reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE
from point_ft_jax.reports.robust_evidence import (
    MEASURES,
    NAMES,
    Comparison,
    along,
    methods,
    statistics_scores,
)

RED = '#C62828'
# As in the paper: the hardest red, without background green, with background blue.
SETTINGS = {
    'pb_t50_rs': (RED, 'hardest'),
    'obj_only': (GREEN, 'no background'),
    'obj_bg': (BLUE, 'with background'),
}
STYLES = {'own': ('--', 'WiSE-FT'), 'probed': ('-', 'WiSE-FT-LP')}
CHOICES = {
    'reestimated': (BLUE, 're-estimated'),
    'interpolated': (ORANGE, 'interpolated'),
    'finetuned': (GREEN, 'fine-tuned'),
    'pretrained': (PURPLE, 'pre-trained'),
}
LINES = 'Dashed: WiSE-FT; solid: WiSE-FT-LP; bands: the range of the seeds.'
MARKERS = 'osv^DPX*p'  # of the methods that are no curve
ON_THE_CURVES = ('lp', 'full', 'wise', 'wise_lp')
ENDS = 'a ring at alpha 0, a square at alpha 1'
LEAST, STEP = 30, 10  # points of accuracy that an axis spans at least, and what it ends on
ALPHA = 'alpha (0: pre-trained, 1: fine-tuned)'
TARGET, SVM = 'target test accuracy, %', 'SVM on transfer sets, %'
TITLE, LABEL, SMALL = 15, 14, 13  # sizes of letters, to be read at half size too


def captions(found: Comparison) -> dict[str, str]:
    """File name -> caption, of the figures along alpha."""
    floor = 'Dotted: random weights.'
    return {
        'along': f'{LINES} Frozen features are the same with probing and without. {floor} '
        f'In the plane: {ENDS}.',
        'transfer': f'Frozen features, means over {", ".join(found.sets)}. {floor}',
        'corrupted': f'{LINES} Means over the corruptions.',
    }


def plot_all(found: Comparison) -> dict[str, Figure]:
    """File name -> figure."""
    drawn = {
        'along': _along(found),
        'transfer': _transfer(found),
        'plane': _planes(found),
        'moved': _moved(found),
    }
    first = next(iter(found.scores.values()))[along(1)]
    if any(name.startswith('corrupted/') for name in first):
        drawn['corrupted'] = _corrupted(found)
    if len(found.statistics) > 1:
        drawn['statistics'] = _statistics(found)
    return drawn


def statistics_curve(found: Comparison, models: Mapping, choice: str) -> np.ndarray:
    """[seeds, alphas] in percent: target accuracy without probing under a choice of statistics."""
    scores = [statistics_scores(found, models[along(a)], choice).mean(-1) for a in found.alphas]
    return 100 * np.stack(scores, axis=1)


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
    axes: Axes, x: np.ndarray, values: np.ndarray, label: str, colour: str, style: str = '-'
) -> None:
    """The mean over the seeds, with their range as a band."""
    axes.plot(x, values.mean(0), style, color=colour, label=label, marker='o', markersize=5, lw=2)
    if len(values) > 1:
        axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)


def _colour(setting: str) -> str:
    return SETTINGS.get(setting, (ORANGE, ''))[0]


def _name(setting: str) -> str:
    return SETTINGS.get(setting, ('', setting))[1]


def _along(found: Comparison) -> Figure:
    """Target and SVM along alpha, and the plane of both: a colour a setting in every panel."""
    figure = Figure(figsize=(15, 5.4), layout='constrained')
    target, features, plane = figure.subplots(1, 3)
    _draw_heads(target, found, 'target')
    _draw_features(features, found, 'svm')
    for setting, models in found.scores.items():
        _draw_plane(plane, found, setting, models)
    _finish(target, TARGET)
    _finish(features, SVM)
    _finish(plane, SVM, TARGET)
    _legend_below(figure, target)
    return figure


def _draw_heads(axes: Axes, found: Comparison, start: str) -> None:
    """A colour a setting, dashed without probing and solid with it."""
    for setting, models in found.scores.items():
        for head, (style, name) in STYLES.items():
            values = _curve(found, models, start, head)
            label = f'{_name(setting)}, {name}'
            _band(axes, np.array(found.alphas), values, label, _colour(setting), style)


def _draw_features(axes: Axes, found: Comparison, measure: str) -> None:
    """A colour a setting, and the floor."""
    for setting, models in found.scores.items():
        values = _curve(found, models, measure)
        _band(axes, np.array(found.alphas), values, _name(setting), _colour(setting))
    random = [
        100 * value.mean()
        for models in found.scores.values()
        for name, value in models['random'].items()
        if name.split('/')[0] == measure
    ]
    axes.axhline(np.mean(random), linestyle=':', color=GREY, lw=2, label='random weights')


def _draw_plane(axes: Axes, found: Comparison, setting: str, models: Mapping) -> None:
    """The curves of a setting: a ring where alpha is 0, a square where it is 1."""
    y, colour = _curve(found, models, 'svm').mean(0), _colour(setting)
    for head, (style, name) in STYLES.items():
        x = _curve(found, models, 'target', head).mean(0)
        axes.plot(x, y, style, color=colour, marker='o', markersize=5, lw=2, label=name)
        ring = {'markersize': 12, 'fillstyle': 'none', 'markeredgewidth': 2}
        axes.plot(x[:1], y[:1], 'o', color=colour, **ring)
        axes.plot(x[-1:], y[-1:], 's', color=colour, markersize=10)


def _transfer(found: Comparison) -> Figure:
    """A panel a measure of the frozen features."""
    figure = Figure(figsize=(11, 9.4), layout='constrained')
    for axes, (measure, label) in zip(figure.subplots(2, 2).ravel(), MEASURES.items(), strict=True):
        _draw_features(axes, found, measure)
        axes.set_title(label, fontsize=TITLE, loc='left')
        _finish(axes, 'accuracy, %')
    _legend_below(figure, figure.axes[0])
    return figure


def _corrupted(found: Comparison) -> Figure:
    """Corrupted clouds along alpha."""
    figure = Figure(figsize=(8, 6), layout='constrained')
    axes = figure.subplots()
    _draw_heads(axes, found, 'corrupted')
    _finish(axes, 'accuracy on corrupted clouds, %')
    _legend_below(figure, axes, 2)
    return figure


def _planes(found: Comparison) -> Figure:
    """Target against the standardised SVM, a column a setting, every method a point.

    Below, the corner that the methods are in, still `LEAST` points wide and high.
    """
    count = len(found.scores)
    figure = Figure(figsize=(3.6 + 4.6 * count, 10.4), layout='constrained')
    whole, corners = figure.subplots(2, count, squeeze=False, sharey='row')
    for axes, (setting, models) in zip(whole, found.scores.items(), strict=True):
        axes.set_title(f'{setting}: {_name(setting)}', fontsize=TITLE, loc='left')
        _draw_plane(axes, found, setting, models)
        _draw_methods(axes, found, models)
    for axes, (setting, models) in zip(corners, found.scores.items(), strict=True):
        _draw_plane(axes, found, setting, models)
        points = _draw_methods(axes, found, models)
        axes.set_xlim(*_corner(points[:, 0]))
        axes.set_ylim(*_corner(points[:, 1]))
    for axes in (*whole, *corners):
        _finish(axes, SVM, TARGET, calm=axes is whole[-1])
    for axes in whole:
        _calm(axes.get_xlim, axes.set_xlim)
    handles, texts = whole[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc='outside right center', frameon=False, fontsize=SMALL)
    return figure


def _corner(values: np.ndarray) -> tuple[float, float]:
    """`LEAST` points around the middle one of them."""
    high = min(np.median(values) + LEAST / 2, 101.5)
    return high - LEAST, high


def _point(scores: Mapping[str, np.ndarray]) -> tuple[float, float]:
    svm = [v.mean() for k, v in scores.items() if k.startswith('svm/')]
    return 100 * scores['target'].mean(), 100 * np.mean(svm)


def _draw_methods(axes: Axes, found: Comparison, models: Mapping) -> np.ndarray:
    """[M, 2]: where all methods are; those that are no curve are drawn."""
    reads = methods(found)
    points = {name: _point(read(models)) for name, read in reads.items()}
    others = [name for name in reads if name not in ON_THE_CURVES]
    looks = itertools.cycle(itertools.product((GREY, PURPLE, ORANGE), MARKERS))
    for name, (colour, marker) in zip(others, looks, strict=False):
        axes.plot(
            *points[name], marker, color=colour, markersize=9, markeredgewidth=1.8,
            fillstyle='none', label=NAMES.get(name, name),
        )  # fmt: skip
    return np.array(list(points.values()))


def _statistics(found: Comparison) -> Figure:
    """Target accuracy along alpha under every choice of statistics, a panel a setting."""
    count = len(found.scores)
    figure = Figure(figsize=(1 + 4.8 * count, 5.2), layout='constrained')
    for axes, (setting, models) in zip(
        figure.subplots(1, count, squeeze=False)[0], found.scores.items(), strict=True
    ):
        for choice in found.statistics:
            colour, label = CHOICES[choice]
            values = statistics_curve(found, models, choice)
            _band(axes, np.array(found.alphas), values, label, colour)
        axes.set_title(setting, fontsize=TITLE, loc='left')
        _finish(axes, TARGET)
    _legend_below(figure, figure.axes[0], 4)
    return figure


def _moved(found: Comparison) -> Figure:
    """How far fine-tuning moved each block, in percent of its norm."""
    figure = Figure(figsize=(11, 5), layout='constrained')
    axes = figure.subplots()
    for setting, seeds in found.distances.items():
        blocks = sorted(seeds[0], key=_order)
        values = 100 * np.array([[seed[block] for block in blocks] for seed in seeds])
        _band(axes, np.arange(len(blocks)), values, _name(setting), _colour(setting))
        axes.set_xticks(np.arange(len(blocks)), blocks, rotation=50, ha='right')
    axes.set_ylabel('moved, % of its norm', fontsize=LABEL)
    axes.tick_params(labelsize=SMALL)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=SMALL)
    figures.clear_frame(axes)
    return figure


def _order(block: str) -> tuple:
    """Numbers as numbers: block_2 before block_10."""
    words = block.replace('/', '_').split('_')
    return tuple((0, int(w), '') if w.isdigit() else (1, 0, w) for w in words)


def _legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(
        handles, texts, loc='outside lower center', ncols=min(columns, len(texts)), frameon=False,
        fontsize=SMALL,
    )  # fmt: skip


def _finish(axes: Axes, y: str, x: str = ALPHA, calm: bool = True) -> None:
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.tick_params(labelsize=SMALL)
    if x == ALPHA:
        axes.set_xticks(np.linspace(0, 1, 5))
    if calm:
        _calm(axes.get_ylim, axes.set_ylim)
    if calm and x != ALPHA:
        _calm(axes.get_xlim, axes.set_xlim)
    figures.clear_frame(axes)


def _calm(get: Callable, put: Callable) -> None:
    """An axis of whole tens and of `LEAST` points at least: noise must not look like an effect."""
    low, high = get()
    low, high = max(np.floor(low / STEP) * STEP, 0), min(np.ceil(high / STEP) * STEP, 100)
    while high - low < LEAST:
        low, high = max(low - STEP, 0), min(high + STEP, 100)
    put(low - 1.5, high + 1.5)  # room for a dot that lies on the edge
