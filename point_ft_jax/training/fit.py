"""Fits a model to a split: epochs of steps, evaluation, selection, checkpoints. Knows no config."""

import contextlib
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from point_ft_jax.checkpoints.store import Latest, Memory
from point_ft_jax.core import trees
from point_ft_jax.core.devices import agree, everywhere, main_process, to_host
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import write_json
from point_ft_jax.core.trees import Targets
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.training import costs, loop, metrics_log, population
from point_ft_jax.training import step as train
from point_ft_jax.training.interrupt import Interrupt, Stopped, interruptible
from point_ft_jax.training.plan import Plan, check, keep_records
from point_ft_jax.training.population import Member

COST = 'cost.json'
CALL_SECONDS = 10.0  # how long the device runs before the host looks up: at Ctrl-C, at the clock


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    Attributes:
        variables: 'params' and 'batch_stats' of the chosen epoch, as numpy arrays.
        records: the test split's evaluation, as the task has it, after the 'chosen', 'best_test'
            and 'last' epoch; empty without a test split.
        score: what chose the epoch: the first that the task ranks by (of classification the
            accuracy, a fraction) on the split that `Plan.select` names; for 'last_epoch' the number
            of the epoch.
        cost: the fields of `report.Cost`, of all members together.
    """

    variables: dict[str, trees.Tree]
    records: dict[str, Any]
    score: float
    cost: dict[str, float]


@dataclasses.dataclass(frozen=True)
class _Context:
    """What the functions below share; nothing in it changes but the pace and the facts.

    `facts` is what a checkpoint keeps beside its trees: each member's best epochs so far, and the
    seconds.
    """

    recipe: train.Recipe
    plan: Plan
    runs: Sequence[Member]
    who: population.Crew
    folder: pathlib.Path | None
    steps: int
    frozen: trees.Tree
    prepared: dict[str, tuple[np.ndarray, Targets]]
    answer: Callable[[train.State, np.ndarray, Targets], list[Any]]
    last: Latest | Memory
    best: Latest | Memory
    writers: Sequence[Callable[..., None]]
    show: Callable[..., None]
    interrupt: Interrupt
    facts: dict[str, Any]
    pace: dict[str, float]


def fit(
    recipe: train.Recipe,
    variables: dict[str, trees.Tree],
    trainable: trees.Tree,
    splits: Mapping[str, Split],
    plan: Plan,
    folder: pathlib.Path | None = None,
    show: Callable[..., None] = lambda *_, **__: None,
) -> Fitted:
    """Trains what `trainable` says, evaluates, and returns the chosen epoch.

    Args:
        recipe: the step; see `train.Recipe`.
        variables: 'params' and 'batch_stats' to start from.
        trainable: a tree of bools; see `params.select`.
        splits: 'train', and any of 'validation' and 'test'.
        plan: how long, and what to keep.
        folder: where metrics and checkpoints go; a fit that was stopped or killed goes on from
            there, to the same bits. None keeps nothing.
        show: called as `show(epochs_done, loss=…, accuracy=…, clouds_per_s=…)`, and once as
            `show(epochs_done, resumed=True)` where a fit goes on; see `progress.progress`.

    Raises:
        UserError: a selection without its split, fewer clouds than a batch, clouds with too few
            points, a loss that is no number, or a checkpoint of another model in `folder`.
        Stopped: Ctrl-C or SIGTERM, after saving.
    """
    runs, keeper = [Member(plan.seed)], (folder and [folder])
    return _run(recipe, [variables], trainable, splits, plan, runs, folder, keeper, show)[0]


def fit_all(
    recipe: train.Recipe,
    starts: Sequence[dict[str, trees.Tree]],
    trainable: trees.Tree,
    splits: Mapping[str, Split],
    plan: Plan,
    runs: Sequence[Member],
    own_clouds: bool = True,
    folder: pathlib.Path | None = None,
    folders: Sequence[pathlib.Path] | None = None,
    show: Callable[..., None] = lambda *_, **__: None,
) -> list[Fitted]:
    """Trains several members over one frozen half in one program; as `fit` otherwise.

    Each member goes as it would alone, up to rounding, from the trainable half and the statistics
    of its own start and the frozen half of the first; `plan.seed` plays no part.

    Args:
        recipe, trainable, splits, plan, show: as in `fit`.
        starts: the variables of each.
        runs: who they are; several.
        own_clouds: see `train.Crew`.
        folder: where their common checkpoints go.
        folders: where the metrics of each go.
    """
    return _run(recipe, starts, trainable, splits, plan, runs, folder, folders, show, own_clouds)


def _run(
    recipe: train.Recipe,
    starts: Sequence[dict[str, trees.Tree]],
    trainable: trees.Tree,
    splits: Mapping[str, Split],
    plan: Plan,
    runs: Sequence[Member],
    folder: pathlib.Path | None,
    folders: Sequence[pathlib.Path] | None,
    show: Callable[..., None],
    own_clouds: bool = True,
) -> list[Fitted]:
    check(plan, splits, recipe.num_points, recipe.mesh.size)
    steps = len(splits['train']) // plan.batch_size
    halves = [trees.partition(start['params'], trainable)[0] for start in starts]
    _, frozen = trees.partition(starts[0]['params'], trainable)
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.set_mesh(recipe.mesh))
        if len(runs) > 1:
            who = population.crew(recipe, runs, own_clouds)
            statistics = [start['batch_stats'] for start in starts]
            state = population.start_all(recipe, who, list(zip(halves, statistics, strict=True)))
        else:
            who = population.alone(jax.random.key(runs[0].seed), runs[0].rate)
            state = train.start(recipe, halves[0], starts[0]['batch_stats'])
        logs = loop.empty_logs(recipe, who, steps)
        frozen, state, logs = everywhere(recipe.mesh, (frozen, state, logs))
        last, best = (
            stack.enter_context(Latest(folder / name) if folder else Memory())
            for name in ('last', 'best')
        )
        facts = {'records': [{} for _ in runs], 'seconds': 0.0}
        if last.step() is not None:
            (state, logs), facts = last.restore((state, logs))
        writers = [
            stack.enter_context(metrics_log.writer(path, last.step() or -1))
            for path in (folders if folders and main_process() else [None] * len(runs))
        ]
        context = _Context(
            recipe=recipe,
            plan=plan,
            runs=runs,
            who=who,
            folder=folder,
            steps=steps,
            frozen=frozen,
            prepared={
                name: recipe.task.prepare(split, recipe.num_points)
                for name, split in splits.items()
                if name != 'train'
            },
            answer=_answers(recipe, who, frozen, plan.batch_size),
            last=last,
            best=best,
            writers=writers,
            show=show,
            interrupt=stack.enter_context(interruptible(folder is not None)),
            facts=facts,
            pace={'saved': time.monotonic(), 'per_step': 0.0},
        )
        return _fit(context, state, logs, splits['train'])


def _answers(
    recipe: train.Recipe, who: population.Crew, frozen: trees.Tree, batch_size: int
) -> Callable[[train.State, np.ndarray, Targets], list[Any]]:
    """A function of a state, prepared points and targets to what each member says of them."""
    answer = functools.partial(recipe.task.answer, recipe.module)
    if not who.several:
        run = inference.in_batches(answer, recipe.mesh, batch_size)

        def one(state: train.State, *inputs: Any) -> list[Any]:
            tree = trees.combine(state.trainable, frozen)
            return [run({'params': tree, 'batch_stats': state.batch_stats}, *inputs)]

        return one
    run_all = inference.all_in_batches(answer, recipe.mesh, batch_size, who.shared)

    def several(state: train.State, *inputs: Any) -> list[Any]:
        deltas = {'params': state.trainable, 'batch_stats': state.batch_stats}
        found = run_all((deltas, frozen), *inputs)
        return [jax.tree.map(lambda a, k=k: a[:, k], found) for k in range(len(who.rates))]

    return several


def _fit(c: _Context, state: train.State, logs: dict, split: Split) -> Fitted:
    """All epochs that remain, then the chosen one's variables."""
    epoch = int(state.step) // c.steps
    _mend_best(c, state)
    cost = {}
    if epoch < c.plan.epochs:
        since = time.monotonic()
        advance = loop.compile_advance(
            c.recipe, c.who, split, state, c.frozen, _order(c, epoch, split), c.plan.device_bytes
        )
        cost = {**advance.cost, 'compile_seconds': time.monotonic() - since}
        if int(state.step):
            c.show(int(state.step) / c.steps, resumed=True)
    while epoch < c.plan.epochs:
        state, logs = _take_epoch(c, advance, state, logs, _order(c, epoch, split))
        epoch += 1
        better = _finish_epoch(c, state, logs, epoch)
        if any(better):
            # In this order: what `best` holds, the records in `last` name, whenever a kill comes.
            _save(c, state, logs)
            _keep_best(c, state, better, epoch)
        _pause(c, state, logs, epoch == c.plan.epochs)
    if cost:
        rows = _order(c, 0, split)[0]
        cost['flops_per_step'] = costs.step_flops(c.recipe, c.who, state, c.frozen, split, rows)
        cost |= {'train_seconds': c.facts['seconds'], 'clouds_per_s': _clouds_per_s(c)}
        if c.folder and main_process():
            write_json(c.folder / COST, cost)
    elif c.folder and (c.folder / COST).exists():
        cost = json.loads((c.folder / COST).read_text())
    (moving, statistics), _ = c.best.restore((state.trainable, state.batch_stats))
    frozen, moving, statistics = to_host((c.frozen, moving, statistics))
    return [_fitted(c, k, frozen, moving, statistics, cost) for k in range(len(c.runs))]


def _fitted(
    c: _Context,
    k: int,
    frozen: trees.Tree,
    moving: trees.Tree,
    statistics: trees.Tree,
    cost: dict[str, float],
) -> Fitted:
    """What the k-th member's training gave."""
    if c.who.several:
        moving = trees.pick(moving, k)
        statistics = trees.pick(statistics, k, c.who.shared)
    records = c.facts['records'][k]
    return Fitted(
        variables={'params': trees.combine(moving, frozen), 'batch_stats': statistics},
        records={
            kind: c.recipe.task.evaluation(record['epoch'], record['found'])
            for kind, record in records.items()
            if record['found']
        },
        score=records['chosen']['rank'][0],
        cost=cost,
    )


def _order(c: _Context, epoch: int, split: Split) -> np.ndarray:
    own = c.who.own_clouds
    return population.crew_order(c.runs, own, epoch, len(split), c.plan.batch_size)


def _take_epoch(
    c: _Context, advance: loop.Advance, state: train.State, logs: dict, order: np.ndarray
) -> tuple[train.State, dict]:
    """The rest of an epoch, in calls of about CALL_SECONDS."""
    first = int(state.step) % c.steps
    while first < c.steps:
        size = int(CALL_SECONDS / c.pace['per_step']) if c.pace['per_step'] else 1
        last = min(first + agree(max(size, 1)), c.steps)
        since = time.monotonic()
        state, logs = jax.block_until_ready(advance(state, c.frozen, logs, order, first, last))
        seconds = time.monotonic() - since
        c.facts['seconds'] += seconds
        c.pace['per_step'] = seconds / (last - first)
        first = last
        if first < c.steps:
            loss = float(to_host(logs['train_loss'])[first - 1].mean())
            c.show(int(state.step) / c.steps, loss=loss, clouds_per_s=_clouds_per_s(c))
            _pause(c, state, logs)
    return state, logs


def _pause(c: _Context, state: train.State, logs: dict, save: bool = False) -> None:
    """Saves if it is time to, and raises Stopped at a signal; all processes decide alike."""
    stop = agree(c.interrupt.signal)
    if save or stop or _save_is_due(c):
        _save(c, state, logs)
    if stop:
        raise Stopped(stop, int(state.step))


def _finish_epoch(c: _Context, state: train.State, logs: dict, epoch: int) -> list[bool]:
    """Evaluates, keeps the records, writes the metrics; which members got better.

    `epoch` counts from 1.
    """
    step = int(state.step)
    means = {name: np.atleast_1d(values.mean(0)) for name, values in to_host(logs).items()}
    losses = means['train_loss']
    if not np.isfinite(losses).any():
        raise UserError(
            f'the training loss of epoch {epoch} is {losses[0]}: lower '
            'config.optim.lr, or look for outliers in the data (point-ft check_data)'
        )
    measured, better = [{} for _ in c.runs], [False for _ in c.runs]
    if epoch % c.plan.evaluate_every == 0 or epoch == c.plan.epochs:
        measured, better = _evaluate(c, state, epoch)
    timing = {'seconds': c.facts['seconds'], 'clouds_per_s': _clouds_per_s(c)}
    rate = float(c.recipe.schedule(step - 1))
    for k, (member, write) in enumerate(zip(c.runs, c.writers, strict=True)):
        scalars = {name: float(values[k]) for name, values in means.items()}
        scalars['learning_rate'] = rate * member.rate
        write(step, epoch, scalars | measured[k], timing)
    accuracies = [m.get('validation_accuracy', m.get('test_accuracy')) for m in measured]
    accuracy = None if None in accuracies else float(np.mean(accuracies))
    c.show(epoch, loss=float(losses.mean()), accuracy=accuracy, clouds_per_s=_clouds_per_s(c))
    return better


def _evaluate(
    c: _Context, state: train.State, epoch: int
) -> tuple[list[dict[str, float]], list[bool]]:
    """Each member's scalars of every split but training's, and whether it got better.

    Keeps the records.
    """
    task = c.recipe.task
    answers = {name: c.answer(state, *arrays) for name, arrays in c.prepared.items()}
    found, better = [], []
    for k, records in enumerate(c.facts['records']):
        mine = {name: (values[k], c.prepared[name][1]) for name, values in answers.items()}
        measured = {name: task.measure(*pair) for name, pair in mine.items()}
        ranks = {name: task.rank(scalars) for name, scalars in measured.items()}
        kept = task.record(*mine['test']) if 'test' in mine else []
        better.append('chosen' in keep_records(c.plan.select, records, ranks, kept, epoch))
        found.append({f'{n}_{what}': v for n, m in measured.items() for what, v in m.items()})
    return found, better


def _keep_best(c: _Context, state: train.State, better: Sequence[bool], epoch: int) -> None:
    """Saves the trees of the members that got better, beside the others' old ones."""
    tree = (state.trainable, state.batch_stats)
    if not all(better):
        (trainable, statistics), _ = c.best.restore(tree)
        tree = (
            trees.choose(better, state.trainable, trainable),
            trees.choose(better, state.batch_stats, statistics, c.who.shared),
        )
    c.best.save(epoch, tree, {'epoch': epoch})


def _mend_best(c: _Context, state: train.State) -> None:
    """Saves the best trees of the state's epoch, if a kill came before they were."""
    chosen = [record['chosen']['epoch'] for record in c.facts['records'] if record]
    newest = max(chosen, default=0)
    if newest and c.best.step() != newest and int(state.step) == newest * c.steps:
        _keep_best(c, state, [epoch == newest for epoch in chosen], newest)


def _save_is_due(c: _Context) -> bool:
    waited = time.monotonic() - c.pace['saved']
    return bool(agree(int(waited >= c.plan.save_every_seconds)))


def _save(c: _Context, state: train.State, logs: dict) -> None:
    c.last.save(int(state.step), (state, logs), c.facts)
    c.pace['saved'] = time.monotonic()


def _clouds_per_s(c: _Context) -> float:
    clouds = c.plan.batch_size * len(c.runs)
    return clouds / c.pace['per_step'] if c.pace['per_step'] else 0.0
