"""The report of a pre-training run: curves, and reconstructions of hidden patches."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports.costs import Cost, cost_section, parameter_section
from point_ft_jax.reports.curves import Panel, plot_curves
from point_ft_jax.reports.report import Picture, Report, Section, Table

PANELS = (
    Panel(
        'Chamfer distance of hidden patches, x 1000',
        {'reconstruction': 'training', 'test_reconstruction': 'test, one mask'},
        scale=1000,
        log=True,
    ),
    Panel('Other losses', {'image': 'image', 'text': 'text', 'contrast': 'contrast'}),
    Panel('Learning rate', {'learning_rate': ''}),
    Panel('Gradient norm', {'gradient_norm': ''}),
)
COLUMNS = ('true', 'visible', 'predicted')
TITLES = {'true': 'true', 'visible': 'visible', 'predicted': 'reconstructed'}


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
    """What one seed gave: the lines of `metrics_log.read`, and some reconstructions."""

    seed: int
    history: Sequence[Mapping[str, Any]]
    examples: Sequence[Example] = ()


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """All that a report is written from.

    Attributes:
        name: of the config.
        command: that made it.
        protocol: what the numbers mean, in words by headings.
        seeds: one result or more.
        parameters: part of the model -> (parameters, trainable parameters).
        cost: the fields of `costs.Cost`.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, tuple[int, int]]
    cost: Mapping[str, float]


def make_report(found: Pretraining) -> Report:
    """The report of a pre-training run."""
    seeds = [
        {'Seed': str(s.seed), **{k: f'{v:.4g}' for k, v in last(s).items()}} for s in found.seeds
    ]
    curves = plot_curves(PANELS, {result.seed: result.history for result in found.seeds})
    result = {
        **{f.name: getattr(found, f.name) for f in dataclasses.fields(found)},
        'seeds': [{'seed': s.seed, 'history': list(s.history)} for s in found.seeds],
        'last': {str(s.seed): last(s) for s in found.seeds},
    }
    return Report(
        title=found.name,
        command=found.command,
        protocol=' · '.join(f'{name}: {value}' for name, value in found.protocol.items()) + '.',
        sections=[
            Section('Last epoch', [Table(seeds)]),
            Section('Curves', [Picture('curves', curves)] if curves else []),
            Section('Reconstructions', [_reconstructions(found.seeds[0])]),
            parameter_section(found.parameters),
            cost_section(Cost(**found.cost)),
        ],
        result=result,
        outcome=outcome(found),
        record=found,
    )


def _reconstructions(result: SeedResult) -> Picture:
    caption = (
        'Test clouds under a mask that is always the same: the cloud, the visible patches, and '
        'these with the reconstruction of the hidden ones.'
    )
    return Picture('reconstructions', plot_examples(result), caption)


def last(result: SeedResult) -> dict[str, float]:
    """The newest value of every scalar of PANELS that was logged."""
    names = [name for panel in PANELS for name in panel.series]
    newest = {name: value for line in result.history for name, value in line.items()}
    return {name: newest[name] for name in names if name in newest}


def outcome(found: Pretraining) -> str:
    """One line on where the reconstruction got."""
    values = [1000 * last(result)['test_reconstruction'] for result in found.seeds]
    spread = f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
    return f'Chamfer distance of hidden test patches: {np.mean(values):.3f}{spread} x 1e-3'


def plot_examples(result: SeedResult) -> Figure:
    """A row a cloud: true, what the model sees, and that with what it makes of the rest."""
    rows = max(len(result.examples), 1)
    figure = Figure(figsize=(7.2, 2.3 * rows), layout='constrained')
    grid = figure.subplots(rows, len(COLUMNS), squeeze=False, subplot_kw={'projection': '3d'})
    for row, example in zip(grid, result.examples, strict=False):
        for axes, column in zip(row, COLUMNS, strict=True):
            if column == 'predicted':
                _scatter(axes, example.visible, '#777777')
            colour = '#D55E00' if column == 'predicted' else '#444444'
            _scatter(axes, getattr(example, column), colour)
            _frame(axes, example.true)
            axes.set_title(f'{example.name}: {TITLES[column]}', fontsize=8, pad=0)
    return figure


def _scatter(axes: Axes, points: np.ndarray, colour: str) -> None:
    x, y, z = points[np.isfinite(points).all(axis=1)].T
    axes.scatter(x, z, y, s=2.0, color=colour, linewidths=0)  # y is up


def _frame(axes: Axes, points: np.ndarray) -> None:
    middle, reach = points.mean(axis=0), np.abs(points - points.mean(axis=0)).max()
    for setter, center in zip(
        (axes.set_xlim, axes.set_ylim, axes.set_zlim), middle[[0, 2, 1]], strict=True
    ):
        setter(center - reach, center + reach)
    axes.set_axis_off()
    axes.set_box_aspect((1, 1, 1))
