"""Logged metrics over the epochs, a panel for each group of metrics, a line for each seed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from point_ft_jax.reports import figures
from point_ft_jax.reports.clouds import PALETTE

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
    if len(histories) > 1:
        handles = [
            Line2D([], [], color=colour, label=f'seed {seed}')
            for seed, colour in _named(seed_colours(list(histories))).items()
        ]
        figure.legend(
            handles=handles, loc='outside lower center', ncols=8, frameon=False, fontsize=8
        )
    return figure


def seed_colours(seeds: Sequence[int]) -> dict[int, str]:
    """A colour for each seed: all different, along a scale where they are many."""
    if len(seeds) <= len(PALETTE):
        return dict(zip(seeds, PALETTE, strict=False))
    scale = colormaps['viridis'](np.linspace(0, 0.92, len(seeds)))
    return dict(zip(seeds, map(to_hex, scale), strict=True))


def _named(colours: Mapping[int, str]) -> dict[int, str]:
    """Of many seeds some, evenly, so that the legend has one line."""
    seeds = list(colours)
    places = np.linspace(0, len(seeds) - 1, min(len(seeds), 8)).astype(int)
    return {seeds[place]: colours[seeds[place]] for place in places}


def _draw_panel(
    axes: Axes, panel: Panel, histories: Mapping[int, History], marked: Mapping[int, int]
) -> None:
    several = len(histories) > 1
    by_seed = seed_colours(list(histories))
    for number, (name, label) in enumerate(panel.series.items()):
        for seed, history in histories.items():
            # A colour tells seeds apart, the kind of line tells metrics apart.
            colour = by_seed[seed] if several else figures.COLOURS[number % len(figures.COLOURS)]
            style = {'color': colour, 'linewidth': 1.0 if several else 1.3}
            style['linestyle'] = STYLES[number % len(STYLES)] if several else '-'
            _draw_line(
                axes, panel, name, history, marked.get(seed), '' if several else label, style
            )
    axes.set_title(panel.title, fontsize=10, loc='left')
    axes.set_xlabel('epoch', fontsize=9)
    figures.whole_numbers(axes.xaxis)
    axes.tick_params(labelsize=8)
    figures.clear_frame(axes)
    if panel.log:
        axes.set_yscale('log')
        figures.plain_logarithm(axes.yaxis)
    elif panel.title.endswith(', %'):
        figures.at_most_100(axes)
    if several and any(panel.series.values()):
        for number, label in enumerate(panel.series.values()):
            line = STYLES[number % len(STYLES)]
            axes.plot([], [], color='#444444', linestyle=line, linewidth=1.0, label=label)
    if any(panel.series.values()):
        axes.legend(frameon=False, fontsize=8)


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
