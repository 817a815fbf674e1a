"""The report of the robust experiment: what to use when, conditions, claims, tables, figures."""

import dataclasses

import numpy as np

from point_ft_jax.evaluation.paired import effect
from point_ft_jax.reports import _robust_figures as drawn
from point_ft_jax.reports import tables
from point_ft_jax.reports.report import Picture, Report, Section, Table
from point_ft_jax.reports.robust_evidence import (
    MEASURES,
    NAMES,
    Comparison,
    Scores,
    along,
    claims,
    conditions,
    methods,
)

ADAPTATIONS = ('plain', 'tent', 'purge_gate')
NEAR = 1.0  # points of target accuracy that count as equal in the advice
COLUMNS = {
    'Target': ('target',),
    **{label: (f'{measure}/',) for measure, label in MEASURES.items()},
    'Corrupted': ('corrupted/',),
    'CAD to scan': ('cad_to_scan',),
}
ADAPTED = {'target': 'Target', 'corrupted/': 'Corrupted'}


def conditions_text(found: Comparison) -> str:
    """The conditions for a terminal, and what follows from them."""
    return f'{tables.text(_condition_rows(found))}\n{_meaning(found)}'


def _condition_rows(found: Comparison) -> list[dict[str, str]]:
    return [
        {'Condition': c.what, 'Found': c.found, 'Asked': c.asked, 'Met': 'yes' if c.met else 'NO'}
        for c in conditions(found)
    ]


def _meaning(found: Comparison) -> str:
    missed = [c.what for c in conditions(found) if not c.met]
    if not missed:
        return 'All conditions are met.'
    return (
        f'**{len(missed)} conditions are missed, so that the curves of this run mean nothing:** '
        f'{"; ".join(missed)}.'
    )


def _mean(scores: Scores, *starts: str) -> np.ndarray | None:
    """[seeds], the mean of all scores whose names begin so; None if there are none."""
    values = [v.mean(-1) for k, v in scores.items() if k.startswith(starts)]
    return np.mean(values, axis=0) if values else None


def rows(found: Comparison) -> list[dict[str, str]]:
    """The main table: a row a method, means and deviations over settings and seeds, in percent."""
    table = []
    for name, read in methods(found).items():
        scores = [read(models) for models in found.scores.values()]
        row = {'Method': NAMES.get(name, name)}
        for label, starts in COLUMNS.items():
            values = [_mean(one, *starts) for one in scores]
            row[label] = '' if values[0] is None else tables.percent(np.concatenate(values))
        table.append(row)
    return table


def adapted_rows(found: Comparison) -> list[dict[str, str]]:
    """The table of adaptation at test time: a row a method, plain, TENT and Purge-Gate."""
    table = []
    for name, read in methods(found).items():
        scores = [read(models) for models in found.scores.values()]
        row = {'Method': NAMES.get(name, name)}
        for start, label in ADAPTED.items():
            for adapt in ADAPTATIONS:
                values = [_mean(one, f'adapted/{adapt}/{start}') for one in scores]
                if values[0] is not None:
                    row[f'{label}, {adapt}'] = tables.percent(np.concatenate(values))
        table.append(row)
    return [row for row in table if len(row) > 1]


def difference_rows(found: Comparison) -> list[dict[str, str]]:
    """Every method against alpha 0 and alpha 1 on every set, in points with 95 % intervals."""
    table = []
    ends = {'from alpha 0': along(0), 'from alpha 1': along(1)}
    columns = [(f'{m}/{s}', f'{MEASURES[m]}, {s}') for m in MEASURES for s in found.sets]
    for name, read in methods(found).items():
        for words, end in ends.items():
            row = {'Method': NAMES.get(name, name), 'Difference': words}
            for key, label in columns:
                new = found.stacked(lambda m, r=read, k=key: r(m)[k])
                old = found.stacked(lambda m, e=end, k=key: m[e][k])
                row[label] = effect(new, old).percent()
            table.append(row)
    return table


def advice(found: Comparison) -> str:
    """Which method to use when, in plain words, from the means of this run."""
    values = {
        name: {
            'target': 100 * found.stacked(lambda m, r=read: r(m)['target']).mean(),
            'transfer': 100
            * float(np.mean([_mean(read(m), 'svm/').mean() for m in found.scores.values()])),
            'corrupted': 100
            * float(
                np.mean(
                    [np.mean(_mean(read(m), 'corrupted/', 'target')) for m in found.scores.values()]
                )
            ),
        }
        for name, read in methods(found).items()
    }
    best = max(values, key=lambda n: values[n]['target'])
    near = [n for n in values if values[n]['target'] >= values[best]['target'] - NEAR]
    keeps = max(near, key=lambda n: values[n]['transfer'])
    most = max(values, key=lambda n: values[n]['transfer'])
    hardy = max(values, key=lambda n: values[n]['corrupted'])

    def words(name: str) -> str:
        one = values[name]
        return f'{NAMES.get(name, name)} (target {one["target"]:.1f}, SVM {one["transfer"]:.1f})'

    sentences = [
        f'Where the target alone counts, use {words(best)}.',
        f'Where other data count too, use {words(keeps)}: of those within {NEAR:g} points of the '
        'best on the target it has the best frozen features.',
        f'The best features of all has {words(most)}.',
        f'For damaged clouds use {words(hardy)}.',
    ]
    missed = [c.what for c in conditions(found) if not c.met]
    if missed:
        sentences.insert(
            0,
            f'**Mind that this run misses {len(missed)} of its own conditions** (below), so that '
            'it cannot tell methods apart by transfer; what follows are its bare means.',
        )
    return ' '.join(sentences)


def make_report(found: Comparison) -> Report:
    """The report of the robust experiment."""
    figures = drawn.plot_all(found)

    def picture(name: str, caption: str) -> Picture:
        return Picture(name, figures[name], caption)

    sections = [
        Section('Which method when', [advice(found)]),
        Section(
            'Conditions', [_meaning(found), Table(_condition_rows(found)), picture('moved', '')]
        ),
        Section(
            'Claims',
            [
                'Paired differences in points, over seeds and settings, with 95 % intervals for '
                'new models on new clouds.',
                '\n'.join(f'- {claim.line()}' for claim in claims(found)),
            ],
        ),
        Section(
            'All methods',
            [
                'In percent, mean ± deviation over settings and seeds; transfer columns are means '
                f'over {", ".join(found.sets)}.',
                Table(rows(found)),
            ],
        ),
        Section(
            'At test time',
            ['The same clouds for all three.', Table(adapted_rows(found))]
            if adapted_rows(found)
            else [],
        ),
        Section(
            'Along alpha',
            [
                picture('target', drawn.LINES),
                picture('transfer', 'Means over the transfer sets; dotted: random weights.'),
                *([picture('corrupted', drawn.LINES)] if 'corrupted' in figures else []),
            ],
        ),
        Section('Target against transfer', [picture('plane', 'Numbers are alphas.')]),
        Section('Differences', [Table(difference_rows(found))]),
    ]
    return Report(
        title=found.name,
        command=found.command,
        protocol=' · '.join(f'{k}: {v}' for k, v in found.protocol.items()) + '.',
        sections=sections,
        result=_result(found),
        outcome=f'{tables.text(rows(found))}\n\n{conditions_text(found)}',
        record=found,
    )


def _result(found: Comparison) -> dict:
    """What result.json holds: means a seed, conditions and claims."""
    return {
        'means': {
            setting: {
                model: {name: value.mean(-1) for name, value in scores.items()}
                for model, scores in models.items()
            }
            for setting, models in found.scores.items()
        },
        'distances': found.distances,
        'conditions': [dataclasses.asdict(c) for c in conditions(found)],
        'claims': [{**dataclasses.asdict(c), 'line': c.line()} for c in claims(found)],
    }
