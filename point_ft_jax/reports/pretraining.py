"""The report of a pre-training run: report.md, its curves, and a picture of reconstructions."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from point_ft_jax.core import json_files
from point_ft_jax.reports import figures, tables
from point_ft_jax.reports.finetuning import Cost, cost_rows

# Panel -> its metrics, each with a name for the legend; colours by Okabe and Ito.
PANELS = {
    'Chamfer distance of hidden patches, x 1000': {
        'reconstruction': 'training',
        'test_reconstruction': 'test, one mask',
    },
    'Other losses': {'image': 'image', 'text': 'text', 'contrast': 'contrast'},
    'Learning rate': {'learning_rate': ''},
    'Gradient norm': {'gradient_norm': ''},
}
SCALES = {'reconstruction': 1000, 'test_reconstruction': 1000}
COLOURS = ('#0072B2', '#D55E00', '#009E73')
COLUMNS = ('true', 'visible', 'predicted')
TITLES = {'true': 'true', 'visible': 'to be seen', 'predicted': 'reconstructed'}


@dataclasses.dataclass(frozen=True)
class Example:
    """A test cloud of class `name`, masked and reconstructed, each [n, 3], NaN where no point is.

    Attributes:
        name: its class.
        true: the whole cloud.
        visible: the points of the patches that were not hidden.
        predicted: the points of the hidden patches, reconstructed.
    """

    name: str
    true: np.ndarray
    visible: np.ndarray
    predicted: np.ndarray


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """What one seed gave: the lines of `metrics.read`, and some reconstructions."""

    seed: int
    history: Sequence[Mapping[str, Any]]
    examples: Sequence[Example] = ()


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """All that a report is written from.

    Attributes:
        name: of the config.
        command: that made it.
        protocol: what the numbers mean, in words by headings.
        seeds: one result or more.
        parameters: part of the model -> parameters.
        cost: the fields of `report.Cost`.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, int]
    cost: Mapping[str, float]


def write(folder: pathlib.Path, found: Pretrained) -> pathlib.Path:
    """Writes report.md, curves.png, reconstructions.png and result.json; gives report.md's path."""
    figures = {'curves': draw_curves(found), 'reconstructions': draw_examples(found.seeds[0])}
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.png', dpi=120, metadata={'Software': None})
    result = {
        **{f.name: getattr(found, f.name) for f in dataclasses.fields(found)},
        'seeds': [{'seed': s.seed, 'history': list(s.history)} for s in found.seeds],
        'last': {str(s.seed): last(s) for s in found.seeds},
    }
    text = json.dumps(json_files.plain(result), indent=1, allow_nan=False)
    (folder / 'result.json').write_text(text + '\n', encoding='utf-8')
    path = folder / 'report.md'
    path.write_text(markdown(found), encoding='utf-8')
    return path


def last(result: SeedResult) -> dict[str, float]:
    """The newest value of every scalar of PANELS that was logged."""
    names = [name for series in PANELS.values() for name in series]
    newest = {name: value for line in result.history for name, value in line.items()}
    return {name: newest[name] for name in names if name in newest}


def outcome(found: Pretrained) -> str:
    """One line on where the reconstruction got."""
    values = [1000 * last(result)['test_reconstruction'] for result in found.seeds]
    spread = f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
    return f'Chamfer distance of hidden test patches: {np.mean(values):.3f}{spread} x 1e-3'


def markdown(found: Pretrained) -> str:
    """The text of report.md; it shows the pictures next to it."""
    seeds = [
        {'Seed': str(s.seed), **{k: f'{v:.4g}' for k, v in last(s).items()}} for s in found.seeds
    ]
    parts = [{'Part': part, 'Parameters': number} for part, number in found.parameters.items()]
    parts.append({'Part': 'all', 'Parameters': sum(found.parameters.values())})
    sections = {
        'Last epoch': tables.markdown(seeds),
        'Curves': '![curves](curves.png)',
        'Reconstructions': '![reconstructions](reconstructions.png)\n\nTest clouds under a mask '
        'that is always the same: the cloud, what the model sees of it, and what it sees with the '
        'patches that it makes of it.',
        'Parameters': tables.markdown(parts),
        'Memory and time': tables.markdown(cost_rows(Cost(**found.cost))),
    }
    words = ' · '.join(f'{name}: {value}' for name, value in found.protocol.items())
    head = [f'# {found.name}', f'```\n{found.command}\n```', f'**Protocol:** {words}.']
    return '\n\n'.join(head + [f'## {t}\n\n{body}' for t, body in sections.items()]) + '\n'


def draw_curves(found: Pretrained) -> Figure:
    """The losses and the rate over the epochs, a line a seed."""
    known = {name for result in found.seeds for line in result.history for name in line}
    panels = {
        title: {name: label for name, label in series.items() if name in known}
        for title, series in PANELS.items()
    }
    panels = {title: series for title, series in panels.items() if series}
    figure = Figure(figsize=(4.6 * 2, 3 * ((len(panels) + 1) // 2)), layout='constrained')
    grid = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).ravel()
    for axes, (title, series) in zip(grid, panels.items(), strict=False):
        for colour, (name, label) in zip(COLOURS, series.items(), strict=False):
            _draw_series(axes, found, name, label, colour)
        axes.set_title(title, fontsize=10, loc='left')
        axes.set_xlabel('epoch', fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8)
        figures.plain(axes)
        if 'Chamfer' in title:
            axes.set_yscale('log')
        if any(series.values()):
            axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def draw_examples(result: SeedResult) -> Figure:
    """A row a cloud: true, what the model sees, and that with what it makes of the rest."""
    rows = max(len(result.examples), 1)
    figure = Figure(figsize=(7.2, 2.3 * rows), layout='constrained')
    grid = figure.subplots(rows, len(COLUMNS), squeeze=False, subplot_kw={'projection': '3d'})
    for row, example in zip(grid, result.examples, strict=False):
        for axes, column in zip(row, COLUMNS, strict=True):
            if column == 'predicted':
                _scatter(axes, example.visible, '#999999')
            colour = '#D55E00' if column == 'predicted' else '#444444'
            _scatter(axes, getattr(example, column), colour)
            _frame(axes, example.true)
            axes.set_title(f'{example.name}: {TITLES[column]}', fontsize=8, pad=0)
    return figure


def _draw_series(axes: Axes, found: Pretrained, name: str, label: str, colour: str) -> None:
    for number, result in enumerate(found.seeds):
        lines = [line for line in result.history if name in line]
        epochs = [line['epoch'] for line in lines]
        values = SCALES.get(name, 1) * np.array([line[name] for line in lines], float)
        marker = 'o' if len(epochs) < 3 else ''
        text = label if not number else None
        axes.plot(epochs, values, color=colour, linewidth=1.2, marker=marker, label=text)


def _scatter(axes: Axes, points: np.ndarray, colour: str) -> None:
    x, y, z = points[np.isfinite(points).all(axis=1)].T
    axes.scatter(x, z, y, s=1.2, color=colour, linewidths=0)  # y is up


def _frame(axes: Axes, points: np.ndarray) -> None:
    middle, reach = points.mean(axis=0), np.abs(points - points.mean(axis=0)).max()
    for setter, center in zip(
        (axes.set_xlim, axes.set_ylim, axes.set_zlim), middle[[0, 2, 1]], strict=True
    ):
        setter(center - reach, center + reach)
    axes.set_axis_off()
    axes.set_box_aspect((1, 1, 1))
