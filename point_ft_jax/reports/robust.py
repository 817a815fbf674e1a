"""The report of the robust experiment: what to use when, conditions, claims, tables, figures."""

import dataclasses
from collections.abc import Callable

import numpy as np

from point_ft_jax.evaluation.paired import effect
from point_ft_jax.reports import _robust_figures as drawn
from point_ft_jax.reports import intervals, tables
from point_ft_jax.reports.report import Block, Picture, Report, Section, Table
from point_ft_jax.reports.robust_claims import advice, claims
from point_ft_jax.reports.robust_evidence import (
    MEASURES,
    NAMES,
    Comparison,
    Scores,
    along,
    best_alphas,
    clouds_of,
    conditions,
    methods,
    missed,
    untold,
)

COLUMNS = {
    'Target': 'target',
    **{label: f'{measure}/' for measure, label in MEASURES.items()},
    'Corrupted': 'corrupted/',
    'CAD to scan': 'cad_to_scan',
}
ADAPTED = {'target': 'Target', 'corrupted/': 'Corrupted'}
HEADS = {'wise': 'own', 'wise_lp': 'probed'}


def conditions_text(found: Comparison) -> str:
    """The conditions for a terminal, and what follows from them."""
    return f'{tables.text(_condition_rows(found))}\n{_meaning(found)}'


def _condition_rows(found: Comparison) -> list[dict[str, str]]:
    return [
        {'Condition': c.what, 'Found': c.found, 'Asked': c.asked, 'Met': 'yes' if c.met else 'NO'}
        for c in conditions(found)
    ]


def _meaning(found: Comparison) -> str:
    lacking, lost = missed(found), untold(found)
    sentences = []
    if lacking:
        sentences.append(
            '**This run misses a condition, and its curves mean nothing:** '
            f'{"; ".join(c.what for c in lacking)}.'
        )
    if lost:
        names = [f'{MEASURES[m]} on {name}' for m, name in (one.split('/', 1) for one in lost)]
        sentences.append(
            'Too near to random weights or to the ceiling to tell anything, and left out of claims '
            f'and advice: {", ".join(names)}.'
        )
    return ' '.join(sentences) or 'All conditions are met.'


def _mean(scores: Scores, start: str) -> np.ndarray | None:
    """[seeds], the mean of all scores whose names begin so; None if there are none."""
    values = [v.mean(-1) for k, v in scores.items() if k.startswith(start)]
    return np.mean(values, axis=0) if values else None


def _cells(found: Comparison, read: Callable, columns: dict[str, str]) -> dict[str, str]:
    """{column: mean and deviation over settings and seeds, in percent}."""
    scores = [read(models) for models in found.scores.values()]
    cells = {}
    for label, start in columns.items():
        values = [_mean(one, start) for one in scores]
        if values[0] is not None:
            cells[label] = tables.percent(np.concatenate(values))
    return cells


def _table(found: Comparison, columns: dict[str, str]) -> list[dict[str, str]]:
    """A row a method; of methods that have none of the columns, none."""
    table = []
    for name, read in methods(found).items():
        if cells := _cells(found, read, columns):
            table.append({'Method': NAMES.get(name, name), **cells})
    known = [label for label in columns if any(label in row for row in table)]
    return [{'Method': row['Method'], **{k: row.get(k, '') for k in known}} for row in table]


def rows(found: Comparison) -> list[dict[str, str]]:
    """The main table: a row a method, means and deviations over settings and seeds, in percent."""
    return _table(found, COLUMNS)


def adapted_rows(found: Comparison) -> list[dict[str, str]]:
    """The table of adaptation at test time: a row a method, plain and each adaptation."""
    names = {'plain': 'plain', 'tent': 'TENT', 'purge_gate': 'PG-SF', 'purge_gate_sp': 'PG-SP'}
    return _table(
        found,
        {
            f'{label}, {word}': f'adapted/{name}/{start}'
            for start, label in ADAPTED.items()
            for name, word in names.items()
        },
    )


def task_rows(found: Comparison) -> list[dict[str, str]]:
    """Few shots by task, where there are several: a row a method, means over the transfer sets."""
    first = next(iter(found.scores.values()))[along(0)]
    tasks = sorted({k.split('/')[2] for k in first if k.startswith('few_shot_task/')})
    table = []
    for name, read in methods(found).items() if tasks else ():
        row = {'Method': NAMES.get(name, name)}
        for task in tasks:
            values = [
                np.mean([v.mean(-1) for k, v in read(m).items() if k.endswith(f'/{task}')], axis=0)
                for m in found.scores.values()
            ]
            row[task] = tables.percent(np.concatenate(values))
        table.append(row)
    return table


def alpha_rows(found: Comparison) -> list[dict[str, str]]:
    """The alphas that held-out clouds choose, by setting and seed."""
    return [
        {
            'Setting': setting,
            **{
                NAMES[name]: ', '.join(
                    f'{found.alphas[place]:g}' for place in best_alphas(found, models, head)
                )
                for name, head in HEADS.items()
            },
        }
        for setting, models in found.scores.items()
    ]


def statistics_rows(found: Comparison) -> list[dict[str, str]]:
    """Target accuracy without probing by alpha, a row a setting and choice of statistics."""
    return [
        {
            'Setting': setting,
            'Statistics': choice,
            **{
                f'{alpha:g}': f'{value:.1f}'
                for alpha, value in zip(
                    found.alphas, drawn.statistics_curve(found, models, choice).mean(0), strict=True
                )
            },
        }
        for setting, models in found.scores.items()
        for choice in found.statistics
    ]


def difference_rows(found: Comparison) -> list[dict[str, str]]:
    """Every method against alpha 0 and alpha 1 on every set, in points with 95 % intervals.

    What needs a head has that of LP at alpha 0 and the fine-tuned one at alpha 1.
    """
    reads, table = methods(found), []
    columns = {f'{m}/{s}': f'{MEASURES[m]}, {s}' for m in MEASURES for s in found.sets}
    columns |= {'target': 'target', 'corrupted/': 'corrupted', 'cad_to_scan': 'CAD to scan'}
    first = reads['full'](next(iter(found.scores.values())))
    known = {k: v for k, v in columns.items() if any(name.startswith(k) for name in first)}
    for name, read in reads.items():
        for words, end in {'from alpha 0': 'lp', 'from alpha 1': 'full'}.items():
            row = {'Method': NAMES.get(name, name), 'Difference': words}
            for key, label in known.items():
                new, old = (
                    found.stacked(lambda m, r=r, k=key: clouds_of(r(m), k))
                    for r in (read, reads[end])
                )
                row[label] = effect(new, old).percent()
            table.append(row)
    return table


def make_report(found: Comparison) -> Report:
    """The report of the robust experiment."""
    figures = drawn.plot_all(found)

    def pictures(**captions: str) -> list[Block]:
        return [Picture(n, figures[n], text) for n, text in captions.items() if n in figures]

    def table(rows: list[dict[str, str]], *before: str) -> list[Block]:
        return [*before, Table(rows)] if rows else []

    moved = pictures(moved='How far fine-tuning moved each block of the backbone.')
    several = len(found.statistics) > 1
    sections = [
        Section('Conditions', [_meaning(found), Table(_condition_rows(found)), *moved]),
        Section(
            'Claims',
            [
                'Paired differences in points, over seeds and settings, with 95 % intervals for '
                'new models on new clouds; in brackets the sets where it holds by itself.',
                '\n'.join(f'- {claim.line()}' for claim in claims(found)),
            ],
        ),
        Section(
            'All methods',
            [
                'In percent, mean ± deviation over settings and seeds; transfer columns are means '
                f'over {", ".join(found.sets)}. Alphas are chosen by held-out target clouds:',
                Table(alpha_rows(found)),
                Table(rows(found)),
            ],
        ),
        Section(
            'At test time',
            table(
                adapted_rows(found),
                'The same clouds without adaptation and with each; empty where it does not fit '
                'the model.',
            ),
        ),
        Section('Along alpha', pictures(**drawn.captions(found))),
        Section(
            'Target against transfer',
            pictures(
                plane=f'Every method; {drawn.ENDS}. Below, the corner that the methods are in, '
                f'{drawn.LEAST} points wide and high.'
            ),
        ),
        Section('Few shots', table(task_rows(found))),
        Section(
            'Statistics of batch norms',
            [
                *table(
                    statistics_rows(found) if several else [],
                    'Target accuracy without probing, in percent, by alpha.',
                ),
                *pictures(statistics='Re-estimated: at 0 and 1 those of the two models.'),
            ],
        ),
        Section('Differences', table(difference_rows(found))),
    ]
    return Report(
        title=found.name,
        command=found.command,
        protocol=_protocol(found),
        sections=sections,
        result=_result(found),
        outcome=f'{tables.text(rows(found))}\n\n{conditions_text(found)}',
        record=found,
        lead=advice(found),
        scores=_scores(found),
    )


def _protocol(found: Comparison) -> str:
    words = ' · '.join(f'{name}: {value}' for name, value in found.protocol.items()) + '.'
    if not found.taken:
        return words
    return (
        f'{words} Not in the pre-trained file, fine-tuned at every alpha: {", ".join(found.taken)}.'
    )


def _scores(found: Comparison) -> dict[str, str]:
    """See `Report.scores`."""
    scores = {}
    for name, read in methods(found).items():
        for setting, models in found.scores.items():
            right = read(models)['target']
            share = float(right.mean())
            bounds = intervals.percent(*intervals.wilson(share, right.shape[-1]))
            scores[f'Test split of {setting}: accuracy, %, {NAMES.get(name, name)}'] = (
                f'{100 * share:.2f} ({bounds})'
            )
    return scores


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
        'advice': advice(found),
    }
