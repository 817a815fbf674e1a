"""The report of a pre-training run: curves, and reconstructions of hidden patches."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from point_ft_jax.reports import clouds
from point_ft_jax.reports.clouds import View
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
        clouds: name of a split -> its clouds.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, tuple[int, int]]
    cost: Mapping[str, float]
    clouds: Mapping[str, int] = dataclasses.field(default_factory=dict)


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
        lead=_lead(found),
        scores={'Test split: Chamfer distance of hidden patches, x 1e-3': _distance(found)},
    )


def _lead(found: Pretraining) -> list[str]:
    """What was trained on what, how good it is on which split, how sure that is."""
    words, trained = found.protocol, found.clouds.get('train')
    on = f'{trained:,} clouds of {words["data"]}' if trained else words['data']
    tested = f'{found.clouds["test"]:,} clouds of the ' if 'test' in found.clouds else ''
    several = f'over {len(found.seeds)} seeds' if len(found.seeds) > 1 else 'of one seed'
    return [
        f'{words["backbone"]}, pre-trained on {on}.',
        f'**Chamfer distance of hidden patches {_distance(found)} x 1e-3** on {tested}test split, '
        'at the last epoch.',
        f'{several[0].upper()}{several[1:]}, under one mask for each test cloud; it says how far '
        'the reconstruction has come, not how well the backbone will tune.',
    ]


def _distance(found: Pretraining) -> str:
    """The distance of the last epoch, times 1000, with its sample deviation over several seeds."""
    values = [1000 * last(result)['test_reconstruction'] for result in found.seeds]
    spread = f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
    return f'{np.mean(values):.3f}{spread}'


def _reconstructions(result: SeedResult) -> Picture:
    caption = (
        'Test clouds under a mask that is always the same: the cloud, the visible patches, and '
        'these with the reconstruction of the hidden ones.'
    )
    items = [(example.name, _views(example)) for example in result.examples]
    return Picture('reconstructions', plot_examples(result), caption, items)


def last(result: SeedResult) -> dict[str, float]:
    """The newest value of every scalar of PANELS that was logged."""
    names = [name for panel in PANELS for name in panel.series]
    newest = {name: value for line in result.history for name, value in line.items()}
    return {name: newest[name] for name in names if name in newest}


def outcome(found: Pretraining) -> str:
    """One line on where the reconstruction got."""
    return f'Chamfer distance of hidden test patches: {_distance(found)} x 1e-3'


def _views(example: Example) -> list[View]:
    """A cloud, what the model sees of it, and that with what it makes of the rest."""
    both = np.concatenate([example.visible, example.predicted])
    parts = np.repeat([0, 1], [len(example.visible), len(example.predicted)])
    legend = ('visible', 'reconstructed')
    return [
        View('true', example.true),
        View('visible', example.visible, np.zeros(len(example.visible), int), legend[:1]),
        View('reconstructed', both, parts, legend),
    ]


def plot_examples(result: SeedResult) -> Figure:
    """A row a cloud: true, what the model sees, and that with what it makes of the rest."""
    rows = max(len(result.examples), 1)
    figure = Figure(figsize=(6.9, 2.3 * rows), layout='constrained')
    grid = figure.subplots(rows, 3, squeeze=False)
    for row, example in zip(grid, result.examples, strict=False):
        for axes, view in zip(row, _views(example), strict=True):
            clouds.draw(axes, view, frame=example.true)
            axes.set_title(f'{example.name}: {view.title}', fontsize=8)
    return figure
