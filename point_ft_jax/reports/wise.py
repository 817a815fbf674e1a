"""The report of a WiSE experiment: figures, tables, and whether the claims of the paper appear."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.reports import intervals, tables
from point_ft_jax.reports.report import Picture, Report, Section, Table
from point_ft_jax.reports.wise_curves import alphas_of, corrupted, curve_of, robustness
from point_ft_jax.reports.wise_figures import CHOICES, plot_all


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
        clouds: variant of the target -> clouds of its test split.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    statistics: Sequence[str]
    settings: Mapping[str, Sequence[SeedCurves]]
    clouds: Mapping[str, int] = dataclasses.field(default_factory=dict)


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
        lead=_lead(found),
        scores=_scores(found),
    )


def _chosen(found: Experiment, setting: str, kind: str) -> float:
    """The target accuracy at the chosen alpha, a fraction, mean over the seeds."""
    points = [
        seed.curves[found.statistics[0]][seed.chosen[kind]] for seed in found.settings[setting]
    ]
    return float(np.mean([point[kind]['test'] for point in points]))


def _finetuned(found: Experiment, setting: str) -> float:
    return float(curve_of(found, setting, lambda p: p['wise']['test'])[:, -1].mean() / 100)


def _interval(found: Experiment, setting: str, share: float) -> str:
    return intervals.percent(*intervals.wilson(share, found.clouds.get(setting, 0)))


def _lead(found: Experiment) -> list[str]:
    """What was trained on what, how good it is on which split, how sure that is."""
    settings = list(found.settings)
    best, tuned = (
        100 * float(np.mean([read(s) for s in settings]))
        for read in (
            lambda s: _chosen(found, s, 'wise_lp'),
            lambda s: _finetuned(found, s),
        )
    )
    words = [f'{name}: {found.protocol[name]}' for name in ('fine-tuned', 'pre-trained')]
    bounds = [(s, _interval(found, s, _chosen(found, s, 'wise_lp'))) for s in settings]
    known = ', '.join(f'{setting or "target"} {text} %' for setting, text in bounds if text)
    return [
        f'WiSE-FT-LP between two models; {"; ".join(words)}.',
        f'**Target accuracy {best:.2f} %** on the test split at the alpha that held-out clouds '
        f'choose, {best - tuned:+.2f} against fine-tuning alone ({tuned:.2f} %).',
        f'95 % intervals (Wilson): {known}; both models are tested on the same clouds.'
        if known
        else f'Means over {len(settings)} settings; how many test clouds they have is not kept.',
    ]


def _scores(found: Experiment) -> dict[str, str]:
    """See `Report.scores`."""
    reads = {
        'fine-tuned': lambda s: _finetuned(found, s),
        'WiSE-FT': lambda s: _chosen(found, s, 'wise'),
        'WiSE-FT-LP': lambda s: _chosen(found, s, 'wise_lp'),
    }
    scores = {}
    for setting in found.settings:
        for name, read in reads.items():
            bounds = _interval(found, setting, read(setting))
            text = f'{100 * read(setting):.2f}' + (f' ({bounds})' if bounds else '')
            scores[f'Test split of {setting}: accuracy, %, {name}'] = text
    return scores


def _protocol(found: Experiment) -> str:
    words = ' · '.join(f'{name}: {value}' for name, value in found.protocol.items()) + '.'
    taken = next(iter(found.settings.values()))[0].taken
    if not taken:
        return words
    return f'{words} Not in the pre-trained file, fine-tuned at every alpha: {", ".join(taken)}.'


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
