"""The report of a fine-tuning run: scores at the chosen epoch, curves, parameters, cost."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.core.errors import raise_all
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.evaluation.part_metrics import PartEvaluation
from point_ft_jax.reports import classification, intervals, part_segmentation, tables
from point_ft_jax.reports.costs import Cost, cost_section, parameter_section
from point_ft_jax.reports.curves import Panel, plot_curves
from point_ft_jax.reports.part_segmentation import Gallery
from point_ft_jax.reports.report import Picture, Report, Section, Table
from point_ft_jax.reports.samples import Samples

# The module with the sections of a task's evaluation.
TASKS = {'classification': classification, 'part_segmentation': part_segmentation}
SELECTIONS = {
    'validation': 'epoch best on the validation split',
    'best_test_epoch': "best test epoch (the papers' protocol; optimistic)",
    'last_epoch': 'last epoch',
}
BATCH_NORM = {
    'hold': 'the statistics of frozen layers held',
    'update': 'all statistics updated, as the reference does',
}
PANELS = (
    Panel('Training loss', {'train_loss': ''}),
    Panel('Accuracy, %', {'validation_accuracy': 'validation', 'test_accuracy': 'test'}, 100),
    Panel(
        'Instance mIoU, %',
        {'validation_instance_miou': 'validation', 'test_instance_miou': 'test'},
        100,
    ),
    Panel('Learning rate', {'learning_rate': ''}),
    Panel('Gradient norm', {'gradient_norm': ''}),
)
KINDS = ('chosen', 'voted', 'best_test', 'last')


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """What one seed gave.

    Attributes:
        seed: the seed.
        chosen: the test set at the epoch that the protocol chooses.
        best_test: at the epoch that is best on the test set itself.
        last: at the last epoch.
        voted: at the chosen epoch, with voting.
        history: the lines of `metrics_log.read`; those of PANELS are drawn.
    """

    seed: int
    chosen: Evaluation | PartEvaluation
    best_test: Evaluation | PartEvaluation | None = None
    last: Evaluation | PartEvaluation | None = None
    voted: Evaluation | PartEvaluation | None = None
    history: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What the numbers mean.

    Attributes:
        data: the data set and its variant.
        points: points a cloud.
        augmentation: of the training clouds, in words.
        selection: how the epoch is chosen, a key of SELECTIONS.
        batch_norm: what happens to its statistics, a key of BATCH_NORM.
        votes: 0 without voting.
    """

    data: str
    points: int
    augmentation: str
    selection: str
    batch_norm: str
    votes: int = 0


@dataclasses.dataclass(frozen=True)
class Finetuning:
    """What a fine-tuning run gave, for one report.

    Attributes:
        name: of the config.
        command: that made it.
        protocol: what the numbers mean.
        task: what was learned, a key of TASKS.
        classes: C names.
        seeds: one result or more.
        parameters: part of the model -> (parameters, trainable parameters).
        cost: what it took.
        gallery: what is shown of the test split: shapes of a part segmenter, samples of a
            classifier.
        model: method, backbone and where its weights come from, in words.
        clouds: name of a split -> its clouds.
    """

    name: str
    command: str
    protocol: Protocol
    task: str
    classes: Sequence[str]
    seeds: Sequence[SeedResult]
    parameters: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    cost: Cost = dataclasses.field(default_factory=Cost)
    gallery: Gallery | Samples | None = None
    model: str = ''
    clouds: Mapping[str, int] = dataclasses.field(default_factory=dict)


def make_report(found: Finetuning) -> Report:
    """The report of a fine-tuning run.

    Raises:
        UserError: no seed, a confusion matrix that is not [C, C], an unknown selection or treatment
            of batch norm; all at once.
    """
    raise_all(_problems(found), f'cannot report {found.name}:')
    return Report(
        title=found.name,
        command=found.command,
        protocol=_protocol(found),
        sections=_sections(found),
        result=summary(found),
        outcome=_outcome(found),
        record=found,
        lead=_lead(found),
        scores=_scores(found),
    )


def _lead(found: Finetuning) -> list[str]:
    """What was trained on what, how good it is on which split, how sure that is."""
    details, chosen, protocol = TASKS[found.task], _chosen(found), found.protocol
    number = found.clouds.get('train')
    on = f'{number:,} clouds of {protocol.data}' if number else protocol.data
    label, value = _headline_score(found)
    tested = details.clouds_of(chosen[0])
    bounds, kind = details.interval(chosen)
    sure = f'95 % interval {intervals.percent(*bounds)} % ({kind}, {tested:,} test clouds)'
    if len(chosen) > 1:
        sure += f'; ± is the sample deviation over {len(chosen)} seeds, tested on the same clouds'
    if protocol.selection == 'best_test_epoch':
        sure += '; the epoch was chosen on these very clouds, which makes it optimistic'
    held = found.clouds.get('validation')
    where = f' of {held:,} clouds' if held and protocol.selection == 'validation' else ''
    return [
        f'{found.model or found.name}, trained on {on} ({len(found.classes)} classes).',
        f'**{label} {value} %** on the {tested:,} clouds of the test split, at the '
        f'{SELECTIONS[protocol.selection]}{where}.',
        f'{sure}.',
    ]


def _headline_score(found: Finetuning) -> tuple[str, str]:
    """The name of the task's first score and, in percent, its mean over the seeds."""
    name, label = next(iter(TASKS[found.task].SCORES.items()))
    values = [evaluation.scores()[name] for evaluation in _chosen(found)]
    return label.removesuffix(', %'), tables.percent(values) or 'nan'


def _scores(found: Finetuning) -> dict[str, str]:
    """See `Report.scores`."""
    details, chosen = TASKS[found.task], _chosen(found)
    bounds = intervals.percent(*details.interval(chosen)[0])
    scores = {
        label: tables.percent([evaluation.scores()[name] for evaluation in chosen]) or ''
        for name, label in details.SCORES.items()
    }
    first = next(iter(scores))
    scores[first] += f' ({bounds})' if bounds else ''
    cost = found.cost
    return {
        **{f'Test split: {label[0].lower()}{label[1:]}': text for label, text in scores.items()},
        'Epoch': ', '.join(str(evaluation.epoch) for evaluation in chosen),
        'Test clouds': f'{details.clouds_of(chosen[0]):,}',
        'Trainable parameters': f'{sum(n for _, n in found.parameters.values()):,}',
        **({'Training, s': f'{cost.train_seconds:,.0f}'} if cost.train_seconds else {}),
    }


def summary(found: Finetuning) -> dict[str, Any]:
    """The run as nested dicts, with the headline's mean and sample deviation over the seeds."""
    details = TASKS[found.task]
    headline = {
        kind: {
            'epochs': [evaluation.epoch for evaluation in evaluations],
            **{name: _mean_std(name, evaluations) for name in details.SCORES},
        }
        for kind, evaluations in _headline(found).items()
    }
    return {
        'headline': headline,
        **details.summary(found.classes, _chosen(found)),
        **dataclasses.asdict(dataclasses.replace(found, gallery=None)),
    }


def _sections(found: Finetuning) -> list[Section]:
    details, several = TASKS[found.task], len(found.seeds) > 1
    deviation = ['Mean ± sample standard deviation over the seeds.'] if several else []
    seeds = [{'Seed': str(r.seed), **_cells(found, [r.chosen])} for r in found.seeds]
    histories = {result.seed: result.history for result in found.seeds}
    curves = plot_curves(PANELS, histories, {r.seed: r.chosen.epoch for r in found.seeds})
    dots = 'Dots: the chosen epoch.'
    return [
        Section(details.TITLE, [*deviation, Table(_headline_rows(found))]),
        Section('Seeds', [Table(seeds)] if several else []),
        Section('Curves', [Picture('curves', curves, dots)] if curves else []),
        *details.sections(found.classes, _chosen(found), found.gallery),
        parameter_section(found.parameters),
        cost_section(found.cost),
    ]


def _problems(found: Finetuning) -> list[str]:
    protocol = found.protocol
    problems = [] if found.seeds else ['no seed has a result']
    for name, choices in (('selection', SELECTIONS), ('batch_norm', BATCH_NORM)):
        value = getattr(protocol, name)
        if value not in choices:
            problems.append(f'{name} is {value!r}; expected one of {", ".join(choices)}')
    for kind in KINDS:
        given = [r.seed for r in found.seeds if getattr(r, kind) is not None]
        if given and len(given) < len(found.seeds):
            problems.append(f'{kind} is given for seeds {given} only; expected all seeds or none')
        if kind == 'voted' and bool(given) != (protocol.votes > 0):
            problems.append(f'{protocol.votes} votes, but {len(given)} seeds have a voted result')
        for result in found.seeds:
            evaluation = getattr(result, kind)
            if evaluation is not None:
                wrong = TASKS[found.task].problems(evaluation, found.classes)
                problems += [f'{kind}, seed {result.seed}: {problem}' for problem in wrong]
    return problems


def _mean_std(name: str, evaluations: Sequence[Any]) -> dict[str, float | None]:
    values = np.array([evaluation.scores()[name] for evaluation in evaluations])
    return {'mean': values.mean(), 'std': values.std(ddof=1) if len(values) > 1 else None}


def _headline(found: Finetuning) -> dict[str, list[Any]]:
    """Kind of evaluation -> that of every seed; without those that the chosen one repeats."""
    repeats = {'best_test_epoch': 'best_test', 'last_epoch': 'last'}.get(found.protocol.selection)
    by_kind = {kind: [getattr(result, kind) for result in found.seeds] for kind in KINDS}
    return {
        kind: evaluations
        for kind, evaluations in by_kind.items()
        if kind != repeats and None not in evaluations
    }


def _headline_rows(found: Finetuning) -> list[dict[str, Any]]:
    labels = {
        'chosen': SELECTIONS[found.protocol.selection],
        'voted': f'the same with {found.protocol.votes} votes',
        'best_test': SELECTIONS['best_test_epoch'],
        'last': SELECTIONS['last_epoch'],
    }
    headline = _headline(found).items()
    return [
        {'At the': labels[kind], **_cells(found, evaluations)} for kind, evaluations in headline
    ]


def _cells(found: Finetuning, evaluations: Sequence[Any]) -> dict[str, Any]:
    return {
        'Epoch': ', '.join(str(evaluation.epoch) for evaluation in evaluations),
        **{
            label: tables.percent([evaluation.scores()[name] for evaluation in evaluations])
            for name, label in TASKS[found.task].SCORES.items()
        },
    }


def _chosen(found: Finetuning) -> list[Any]:
    return [result.chosen for result in found.seeds]


def _protocol(found: Finetuning) -> str:
    protocol, seeds = found.protocol, [str(result.seed) for result in found.seeds]
    parts = [
        f'{protocol.data}, {protocol.points:,} points',
        f'augmentation: {protocol.augmentation}',
        f'reported: {SELECTIONS[protocol.selection]}',
        f'voting: {protocol.votes} votes, in a row of its own' if protocol.votes else 'no voting',
        f'batch norm: {BATCH_NORM[protocol.batch_norm]}',
        f'seed{"s" * (len(seeds) > 1)} {", ".join(seeds)}',
    ]
    return f'{" · ".join(parts)}.'


def _outcome(found: Finetuning) -> str:
    """The headline score at the chosen and at the best test epoch."""
    name, label = next(iter(TASKS[found.task].SCORES.items()))

    def percent(kind: str) -> str:
        return tables.percent([getattr(seed, kind).scores()[name] for seed in found.seeds])

    line = (
        f'test: {label.removesuffix(", %")} {percent("chosen")} % (epoch chosen by '
        f'{found.protocol.selection})'
    )
    if any(seed.best_test is None for seed in found.seeds):
        return line
    return f'{line}; best test epoch {percent("best_test")} % (optimistic)'
