"""The report of a WiSE experiment: figures, tables, and whether the claims of the paper appear."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports import figures, tables
from point_ft_jax.reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE
from point_ft_jax.reports.report import Picture, Report, Section, Table

LABELS = {'wise': 'WiSE-FT', 'wise_lp': 'WiSE-FT-LP'}
STYLES = {'wise': '--', 'wise_lp': '-'}
CHOICES = {
    'reestimated': (BLUE, 're-estimated'),
    'interpolated': (ORANGE, 'interpolated'),
    'finetuned': (GREEN, 'fine-tuned'),
    'pretrained': (PURPLE, 'pre-trained'),
}


@dataclasses.dataclass(frozen=True)
class SeedCurves:
    """What one fine-tuned model gave.

    Attributes:
        seed: of fine-tuning, probing and all else.
        curves: choice of statistics -> a point an alpha, as `wise.measure` gives them.
        chosen: 'wise' and 'wise_lp' -> the place in the curve that held-out clouds choose.
        distance: block of the backbone -> relative distance between the two models.
        taken: paths that have the fine-tuned values at alpha 0 too.
    """

    seed: int
    curves: Mapping[str, Sequence[Mapping]]
    chosen: Mapping[str, int]
    distance: Mapping[str, float]
    taken: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All that a report is written from.

    Attributes:
        name, command: of the run.
        protocol: what the numbers mean, in words.
        statistics: the choices, the first being that of all figures but one.
        settings: variant of the target -> one `SeedCurves` a seed.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    statistics: Sequence[str]
    settings: Mapping[str, Sequence[SeedCurves]]


def make_report(found: Experiment) -> Report:
    """The report of a WiSE experiment."""
    seeds = len(next(iter(found.settings.values())))
    spread = f'Mean ± sample standard deviation over {seeds} seeds. ' if seeds > 1 else ''
    ends = (
        f'{spread}In percent. Alpha 0 with probing is linear probing, alpha 1 without probing is '
        'fine-tuning. Alpha is chosen by held-out target clouds.'
    )
    drawn = plot_all(found)

    def picture(name: str, caption: str) -> Picture:
        return Picture(name, drawn[name], caption)

    sections = [
        Section('The ends and the choices', [ends, Table(rows(found))]),
        Section("The paper's claims here", ['\n'.join(f'- {claim}' for claim in claims(found))]),
        Section('Target accuracy', [picture('target', 'Dashed: WiSE-FT; solid: with probing.')]),
        Section('Frozen features', [picture('svm', 'On the other distribution.')]),
        Section(
            'Few shots',
            [picture('few_shot', 'Linear probes on frozen features, mean over the folds.')],
        ),
        Section('Target against robustness', [picture('plane', 'Numbers are alphas.')]),
        Section(
            'Corruptions',
            [picture('corruptions', 'Mean over corruptions, of the target.')]
            if corrupted(found)
            else [],
        ),
        Section(
            'Statistics of batch norms',
            [
                'Target accuracy without probing, in percent, by alpha.',
                Table(_statistics_rows(found)),
                picture('statistics', 'Re-estimated: at 0 and 1 those of the two models.'),
            ],
        ),
        Section(
            'Distance',
            [picture('distance', 'Between the two models, relative to the pre-trained.')],
        ),
    ]
    return Report(
        title=found.name,
        command=found.command,
        protocol=_protocol(found),
        sections=sections,
        result=dataclasses.asdict(found),
        outcome=outcome(found),
        record=found,
    )


def _protocol(found: Experiment) -> str:
    words = ' · '.join(f'{name}: {value}' for name, value in found.protocol.items()) + '.'
    taken = next(iter(found.settings.values()))[0].taken
    if not taken:
        return words
    return f'{words} Not in the pre-trained file, fine-tuned at every alpha: {", ".join(taken)}.'


def curve_of(found: Experiment, setting: str, read: Callable, choice: str = '') -> np.ndarray:
    """[seeds, alphas]: `read(point)` along the curves of a setting, in percent."""
    choice = choice or found.statistics[0]
    return 100 * np.array(
        [[read(point) for point in seed.curves[choice]] for seed in found.settings[setting]]
    )


def alphas_of(found: Experiment) -> np.ndarray:
    """[alphas]: where the curves were measured."""
    first = next(iter(found.settings.values()))[0]
    return np.array([point['alpha'] for point in first.curves[found.statistics[0]]])


def robustness(kind: str) -> Callable[[Mapping], float]:
    """A reader of the mean accuracy over all corruptions and severities."""
    return lambda point: float(
        np.mean([v for levels in point[kind]['corrupted'].values() for v in levels.values()])
    )


def corrupted(found: Experiment) -> bool:
    """Whether the target's test clouds were corrupted too."""
    first = next(iter(found.settings.values()))[0].curves[found.statistics[0]][0]
    return bool(first['wise']['corrupted'])


def plot_all(found: Experiment) -> dict[str, Figure]:
    """File name -> figure: the paper's, and those of what it does not show."""
    drawn = {
        'svm': _row(found, _draw_svm, 'accuracy on frozen features, %'),
        'target': _row(found, _draw_target, 'target test accuracy, %'),
        'few_shot': _row(found, _draw_few_shot, 'few-shot accuracy, %'),
        'plane': _row(found, _draw_plane, 'linear SVM, %', 'target test accuracy, %'),
        'statistics': _row(found, _draw_statistics, 'target test accuracy, %'),
        'distance': _draw_distance(found),
    }
    if corrupted(found):
        drawn['corruptions'] = _row(found, _draw_corruptions, 'accuracy on corrupted clouds, %')
    return drawn


def _row(
    found: Experiment,
    draw: Callable[[Axes, Experiment, str], None],
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
        figures.clear_frame(axes)
    figure.axes[0].set_ylabel(y, fontsize=9)
    if figure.axes[0].get_legend_handles_labels()[0]:
        figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _line(
    axes: Axes, alphas: np.ndarray, values: np.ndarray, label: str, colour: str, style: str = '-'
) -> None:
    """The mean over the seeds, with their range as a band."""
    axes.plot(alphas, values.mean(0), style, color=colour, label=label, marker='o', markersize=3)
    if len(values) > 1:
        axes.fill_between(alphas, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)


def _draw_svm(axes: Axes, found: Experiment, setting: str) -> None:
    alphas = alphas_of(found)
    _line(axes, alphas, curve_of(found, setting, lambda p: p['svm']), 'linear SVM', BLUE)
    near = curve_of(found, setting, lambda p: p['neighbours'])
    _line(axes, alphas, near, 'nearest neighbours', GREY, ':')


def _draw_target(axes: Axes, found: Experiment, setting: str) -> None:
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        values = curve_of(found, setting, lambda p, kind=kind: p[kind]['test'])
        _line(axes, alphas_of(found), values, LABELS[kind], colour, STYLES[kind])


def _draw_few_shot(axes: Axes, found: Experiment, setting: str) -> None:
    first = found.settings[setting][0].curves[found.statistics[0]][0]
    for name, colour in zip(first['few_shot'], (BLUE, ORANGE, GREEN, PURPLE), strict=False):
        values = curve_of(found, setting, lambda p, name=name: np.mean(p['few_shot'][name]))
        _line(axes, alphas_of(found), values, name, colour)


def _draw_plane(axes: Axes, found: Experiment, setting: str) -> None:
    alphas = alphas_of(found)
    y = curve_of(found, setting, lambda p: p['svm']).mean(0)
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        x = curve_of(found, setting, lambda p, kind=kind: p[kind]['test']).mean(0)
        label = LABELS[kind]
        axes.plot(x, y, STYLES[kind], color=colour, marker='o', markersize=3, label=label)
        for place in {0, len(alphas) // 2, len(alphas) - 1}:
            axes.annotate(
                f'{alphas[place]:g}',
                (x[place], y[place]),
                textcoords='offset points',
                xytext=(4, 4),
                fontsize=7,
                color=colour,
            )


def _draw_statistics(axes: Axes, found: Experiment, setting: str) -> None:
    for choice in found.statistics:
        colour, label = CHOICES[choice]
        values = curve_of(found, setting, lambda p: p['wise']['test'], choice)
        _line(axes, alphas_of(found), values, label, colour, '--')


def _draw_corruptions(axes: Axes, found: Experiment, setting: str) -> None:
    for kind, colour in (('wise', ORANGE), ('wise_lp', BLUE)):
        values = curve_of(found, setting, robustness(kind))
        _line(axes, alphas_of(found), values, LABELS[kind], colour, STYLES[kind])


def _draw_distance(found: Experiment) -> Figure:
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


def rows(found: Experiment) -> list[dict[str, str]]:
    """The main table: for each setting both ends, with and without probing, and the choices."""
    table = []
    for setting, seeds in found.settings.items():
        last = len(alphas_of(found)) - 1
        for name, kind, places in (
            ('fine-tuned', 'wise', [last] * len(seeds)),
            ('linear probing', 'wise_lp', [0] * len(seeds)),
            ('WiSE-FT', 'wise', [seed.chosen['wise'] for seed in seeds]),
            ('WiSE-FT-LP', 'wise_lp', [seed.chosen['wise_lp'] for seed in seeds]),
        ):
            points = [
                seed.curves[found.statistics[0]][place]
                for seed, place in zip(seeds, places, strict=True)
            ]
            row = {
                'Setting': setting,
                'Model': name,
                'Alpha': ', '.join(f'{point["alpha"]:g}' for point in points),
                'Target': _percent([point[kind]['test'] for point in points]),
            }
            if corrupted(found):
                row['Corrupted'] = _percent([robustness(kind)(point) for point in points])
            row['SVM'] = _percent([point['svm'] for point in points])
            row['Neighbours'] = _percent([point['neighbours'] for point in points])
            for shots in points[0]['few_shot']:
                row[shots] = _percent([np.mean(point['few_shot'][shots]) for point in points])
            table.append(row)
    return table


def _statistics_rows(found: Experiment) -> list[dict[str, str]]:
    return [
        {
            'Setting': setting,
            'Statistics': CHOICES[choice][1],
            **{
                f'{alpha:g}': f'{value:.1f}'
                for alpha, value in zip(
                    alphas_of(found),
                    curve_of(found, setting, lambda p: p['wise']['test'], choice).mean(0),
                    strict=True,
                )
            },
        }
        for setting in found.settings
        for choice in found.statistics
    ]


def _percent(values: Sequence[float]) -> str:
    mean = f'{100 * np.mean(values):.2f}'
    return mean + (f' ± {100 * np.std(values, ddof=1):.2f}' if len(values) > 1 else '')


def claims(found: Experiment) -> list[str]:
    """Whether the paper's three claims appear, a sentence each, means over settings and seeds."""
    middle = len(alphas_of(found)) // 2

    def mean(read: Callable, place: int) -> float:
        return float(np.mean([curve_of(found, s, read)[:, place].mean() for s in found.settings]))

    def chosen(kind: str, read: Callable) -> float:
        values = [
            read(seed.curves[found.statistics[0]][seed.chosen[kind]])
            for seeds in found.settings.values()
            for seed in seeds
        ]
        return 100 * float(np.mean(values))

    svm0, svm1 = (mean(lambda p: p['svm'], place) for place in (0, -1))
    tuned = mean(lambda p: p['wise']['test'], -1)
    alone, probed = (mean(lambda p, k=k: p[k]['test'], middle) for k in ('wise', 'wise_lp'))
    alpha = alphas_of(found)[middle]
    best, best_svm = (
        chosen('wise_lp', lambda p: p['wise_lp']['test']),
        chosen('wise_lp', lambda p: p['svm']),
    )
    return [
        f'Fine-tuning {_changes(svm1 - svm0)} transfer: the SVM goes from {svm0:.2f} on '
        f'pre-trained features to {svm1:.2f} on fine-tuned ones.',
        f'WiSE-FT alone {_changes(alone - tuned)} target accuracy: at alpha {alpha:g} it has '
        f'{alone:.2f}, fine-tuning {tuned:.2f}.',
        f'Probing {_changes(probed - alone)} it there: {probed:.2f} with probing, {alone:.2f} '
        f'without.',
        f'At the alpha chosen on held-out clouds WiSE-FT-LP has {best:.2f} on the target '
        f'({best - tuned:+.2f} against fine-tuning) and an SVM of {best_svm:.2f} '
        f'({best_svm - svm1:+.2f}).',
    ]


def _changes(difference: float) -> str:
    """What a difference in percent does to something; within half a point, nothing."""
    if abs(difference) < 0.5:
        return 'hardly changes'
    return 'raises' if difference > 0 else 'lowers'


def outcome(found: Experiment) -> str:
    """The main table for a terminal."""
    return tables.text(rows(found))
