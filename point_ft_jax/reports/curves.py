"""Logged metrics over the epochs, a panel for each group of metrics, a line for each seed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from point_ft_jax.reports import figures

History = Sequence[Mapping[str, Any]]  # the lines of metrics.jsonl, each with its 'epoch'
STYLES = ('-', '--', ':', '-.')


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: what is drawn, with its unit.
        series: name of a metric -> its label in the legend.
        scale: what values are multiplied by.
        log: whether the vertical axis is logarithmic.
    """

    title: str
    series: Mapping[str, str]
    scale: float = 1.0
    log: bool = False


def known_panels(panels: Sequence[Panel], histories: Mapping[int, History]) -> list[Panel]:
    """The panels without the metrics that no seed has logged."""
    known = {name for history in histories.values() for line in history for name in line}
    found = []
    for panel in panels:
        series = {name: label for name, label in panel.series.items() if name in known}
        if series:
            found.append(dataclasses.replace(panel, series=series))
    return found


def plot_curves(
    panels: Sequence[Panel],
    histories: Mapping[int, History],
    marked: Mapping[int, int] | None = None,
) -> Figure | None:
    """The metrics over the epochs; None where nothing was logged.

    Args:
        panels: what is drawn.
        histories: seed -> its log.
        marked: seed -> the epoch that gets a dot.
    """
    panels = known_panels(panels, histories)
    if not panels:
        return None
    rows, columns = (len(panels) + 1) // 2, min(2, len(panels))
    figure = Figure(figsize=(4.6 * columns, 3 * rows), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, histories, marked or {})
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def _draw_panel(
    axes: Axes, panel: Panel, histories: Mapping[int, History], marked: Mapping[int, int]
) -> None:
    several = len(histories) > 1
    for colour, (name, label) in zip(figures.COLOURS, panel.series.items(), strict=False):
        for number, (seed, history) in enumerate(histories.items()):
            words = [label] if label else []
            text = ', '.join([*words, f'seed {seed}']) if several else label
            style = {'color': colour, 'linewidth': 0.9 if several else 1.3}
            style['linestyle'] = STYLES[number % len(STYLES)]
            _draw_line(axes, panel, name, history, marked.get(seed), text, style)
    axes.set_title(panel.title, fontsize=10, loc='left')
    axes.set_xlabel('epoch', fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8)
    figures.clear_frame(axes)
    if panel.log:
        axes.set_yscale('log')
    if any(panel.series.values()) or several:
        axes.legend(frameon=False, fontsize=7 if several else 8)


def _draw_line(
    axes: Axes,
    panel: Panel,
    name: str,
    history: History,
    marked: int | None,
    label: str,
    style: Mapping[str, Any],
) -> None:
    lines = [line for line in history if name in line]
    epochs = np.array([line['epoch'] for line in lines], float)
    values = panel.scale * np.array([line[name] for line in lines], float)
    marker = 'o' if len(epochs) < 3 else ''  # a line needs two points
    axes.plot(epochs, values, label=label or None, marker=marker, **style)
    if marked is not None:
        at = epochs == marked
        axes.plot(epochs[at], values[at], 'o', markersize=5, color=style['color'])
