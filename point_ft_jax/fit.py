"""Fits a model to a split: epochs of steps, evaluation, selection, checkpoints. Knows no config."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from point_ft_jax import evaluate, metrics, params, train
from point_ft_jax.checkpoint import Latest, Nowhere
from point_ft_jax.errors import UserError, raise_all
from point_ft_jax.interrupt import Interrupt, Stopped, interruptible
from point_ft_jax.mesh import agree, everywhere, main_process, to_host
from point_ft_jax.split import Split
from point_ft_jax.task import Targets

SELECTIONS = {'validation': 'validation', 'best_test_epoch': 'test', 'last_epoch': None}
CALL_SECONDS = 10.0  # how long the device runs before the host looks up: at Ctrl-C, at the clock


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long to train and what to keep.

    Attributes:
        epochs: passes over the training split.
        batch_size: clouds a step.
        seed: of the order of the clouds and of everything random in a step.
        select: whose accuracy (of parts, instance mIoU) chooses the epoch: 'validation',
            'best_test_epoch' (the papers': optimistic, since the test set chooses) or 'last_epoch'.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        save_every_seconds: between checkpoints; after the last epoch there is always one.
        device_bytes: the largest training split that is kept on the device; a larger one streams.
    """

    epochs: int
    batch_size: int
    seed: int = 0
    select: str = 'validation'
    evaluate_every: int = 1
    save_every_seconds: float = 30.0
    device_bytes: int = 4 * 2**30


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    Attributes:
        variables: 'params' and 'batch_stats' of the chosen epoch, as numpy arrays.
        records: the test split's evaluation, as the task has it, after the 'chosen', 'best_test'
            and 'last' epoch; empty without a test split.
        cost: the fields of `report.Cost`; those of compilation are missing where a finished fit was
            only read back.
    """

    variables: dict[str, params.Tree]
    records: dict[str, Any]
    cost: dict[str, float]


@dataclasses.dataclass(frozen=True)
class _Context:
    """What the functions below share; nothing in it changes but the pace and the facts.

    `facts` is what a checkpoint keeps beside its trees: the best epochs so far and the seconds.
    """

    recipe: train.Recipe
    plan: Plan
    steps: int
    frozen: params.Tree
    prepared: dict[str, tuple[np.ndarray, Targets]]
    answer: Callable[..., Any]
    last: Latest | Nowhere
    best: Latest | Nowhere
    write: Callable[..., None]
    show: Callable[..., None]
    interrupt: Interrupt
    facts: dict[str, Any]
    pace: dict[str, float]


def fit(
    recipe: train.Recipe,
    variables: dict[str, params.Tree],
    trainable: params.Tree,
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
        show: called as `show(epochs_done, loss=…, accuracy=…, clouds_per_s=…)`.

    Raises:
        UserError: a selection without its split, fewer clouds than a batch, clouds with too few
            points, a loss that is no number, or a checkpoint of another model in `folder`.
        Stopped: Ctrl-C or SIGTERM, after saving.
    """
    _check(plan, splits, recipe)
    steps = len(splits['train']) // plan.batch_size
    moving, frozen = params.partition(variables['params'], trainable)
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.set_mesh(recipe.mesh))
        state = train.start(recipe, moving, variables['batch_stats'])
        frozen, state, logs = everywhere(
            recipe.mesh, (frozen, state, train.empty_logs(recipe, steps))
        )
        last, best = (
            stack.enter_context(Latest(folder / name) if folder else Nowhere())
            for name in ('last', 'best')
        )
        facts = {'records': {}, 'seconds': 0.0}
        if last.step() is not None:
            (state, logs), facts = last.restore((state, logs))
        write = stack.enter_context(
            metrics.writer(folder if main_process() else None, last.step() or -1)
        )
        context = _Context(
            recipe=recipe,
            plan=plan,
            steps=steps,
            frozen=frozen,
            prepared={
                name: recipe.task.prepare(split, recipe.num_points)
                for name, split in splits.items()
                if name != 'train'
            },
            answer=evaluate.in_batches(
                functools.partial(recipe.task.answer, recipe.module), recipe.mesh, plan.batch_size
            ),
            last=last,
            best=best,
            write=write,
            show=show,
            interrupt=stack.enter_context(interruptible(folder is not None)),
            facts=facts,
            pace={'saved': time.monotonic(), 'per_step': 0.0},
        )
        return _fit(context, state, logs, splits['train'])


def _check(plan: Plan, splits: Mapping[str, Split], recipe: train.Recipe) -> None:
    problems = []
    if plan.select not in SELECTIONS:
        problems.append(f'select is {plan.select!r}; expected one of {", ".join(SELECTIONS)}')
    elif SELECTIONS[plan.select] not in (None, *splits):
        problems.append(
            f'select is {plan.select!r}, and there is no {SELECTIONS[plan.select]} split: hold '
            "training clouds out (config.validation.fraction), or select 'last_epoch'"
        )
    if len(splits['train']) < plan.batch_size:
        problems.append(
            f'{len(splits["train"])} training clouds do not fill one batch of {plan.batch_size}: '
            'set config.train.batch_size to less'
        )
    if plan.batch_size % recipe.mesh.size:
        problems.append(
            f'a batch of {plan.batch_size} does not divide among {recipe.mesh.size} devices: '
            f'set config.train.batch_size to a multiple'
        )
    for name, split in splits.items():
        if split.points.shape[1] < recipe.num_points:
            problems.append(
                f'the model takes {recipe.num_points} points and the {name} clouds have '
                f'{split.points.shape[1]}: set config.points to {split.points.shape[1]} or less'
            )
    raise_all(problems, 'this cannot be trained:')


def _fit(c: _Context, state: train.State, logs: dict, split: Split) -> Fitted:
    """All epochs that remain, then the chosen one's variables."""
    epoch = int(state.step) // c.steps
    cost = {}
    if epoch < c.plan.epochs:
        since = time.monotonic()
        advance = train.compile_advance(
            c.recipe,
            split,
            jax.random.key(c.plan.seed),
            state,
            c.frozen,
            logs,
            train.epoch_order(c.plan.seed, epoch, len(split), c.plan.batch_size),
            c.plan.device_bytes,
        )
        cost = {**advance.cost, 'compile_seconds': time.monotonic() - since}
    while epoch < c.plan.epochs:
        order = train.epoch_order(c.plan.seed, epoch, len(split), c.plan.batch_size)
        state, logs = _take_epoch(c, advance, state, logs, order)
        epoch += 1
        _finish_epoch(c, state, logs, epoch)
        if epoch == c.plan.epochs or _save_is_due(c) or c.interrupt.signal:
            _save(c, state, logs)
        if agree(c.interrupt.signal):
            raise Stopped(agree(c.interrupt.signal), int(state.step))
    if cost:
        cost['flops_per_step'] = train.step_flops(
            c.recipe, state, c.frozen, split, c.plan.batch_size
        )
    moving, statistics = state.trainable, state.batch_stats
    if c.best.step() is not None:
        (moving, statistics), _ = c.best.restore((moving, statistics))
    return Fitted(
        variables=to_host({'params': params.combine(moving, c.frozen), 'batch_stats': statistics}),
        records={
            kind: c.recipe.task.evaluation(record['epoch'], record['found'])
            for kind, record in c.facts['records'].items()
            if record['found']
        },
        cost={**cost, 'train_seconds': c.facts['seconds'], 'clouds_per_s': _clouds_per_s(c)},
    )


def _take_epoch(
    c: _Context, advance: train.Advance, state: train.State, logs: dict, order: np.ndarray
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
            loss = float(to_host(logs['train_loss'])[first - 1])
            c.show(int(state.step) / c.steps, loss=loss, clouds_per_s=_clouds_per_s(c))
            stop = agree(c.interrupt.signal)
            if stop or _save_is_due(c):
                _save(c, state, logs)
            if stop:
                raise Stopped(stop, int(state.step))
    return state, logs


def _finish_epoch(c: _Context, state: train.State, logs: dict, epoch: int) -> None:
    """Evaluates, keeps the records, writes the metrics; `epoch` counts from 1."""
    step = int(state.step)
    scalars = {name: float(np.mean(values)) for name, values in to_host(logs).items()}
    if not np.isfinite(scalars['train_loss']):
        raise UserError(
            f'the training loss of epoch {epoch} is {scalars["train_loss"]}: lower '
            'config.optim.lr, or look for outliers in the data (python -m point_ft_jax.check_data)'
        )
    scalars['learning_rate'] = float(c.recipe.schedule(step - 1))
    if epoch % c.plan.evaluate_every == 0 or epoch == c.plan.epochs:
        scalars |= _evaluate(c, state, epoch)
    timing = {'seconds': c.facts['seconds'], 'clouds_per_s': _clouds_per_s(c)}
    c.write(step, epoch, scalars, timing)
    accuracy = scalars.get('validation_accuracy', scalars.get('test_accuracy'))
    c.show(epoch, loss=scalars['train_loss'], accuracy=accuracy, clouds_per_s=_clouds_per_s(c))


def _evaluate(c: _Context, state: train.State, epoch: int) -> dict[str, float]:
    """The scalars of every split but training's; keeps the records, and the best epoch's trees."""
    variables = {
        'params': params.combine(state.trainable, c.frozen),
        'batch_stats': state.batch_stats,
    }
    task = c.recipe.task
    answers = {name: c.answer(variables, *arrays) for name, arrays in c.prepared.items()}
    measured = {name: task.measure(answers[name], c.prepared[name][1]) for name in answers}
    found = task.record(answers['test'], c.prepared['test'][1]) if 'test' in answers else []

    def rank(split: str | None) -> list[float]:
        """As the task ranks a split; the later epoch where no split chooses."""
        return task.rank(measured[split]) if split in measured else [float(epoch)]

    ranks = {
        'chosen': rank(SELECTIONS[c.plan.select]),
        'best_test': rank('test'),
        'last': rank(None),
    }
    for kind, new in ranks.items():
        old = c.facts['records'].get(kind)
        if old is None or new > old['rank']:
            c.facts['records'][kind] = {'epoch': epoch, 'rank': new, 'found': found}
            if kind == 'chosen':
                c.best.save(epoch, (state.trainable, state.batch_stats), {'epoch': epoch})
    return {f'{name}_{what}': v for name, m in measured.items() for what, v in m.items()}


def _save_is_due(c: _Context) -> bool:
    waited = time.monotonic() - c.pace['saved']
    return bool(agree(int(waited >= c.plan.save_every_seconds)))


def _save(c: _Context, state: train.State, logs: dict) -> None:
    c.last.save(int(state.step), (state, logs), c.facts)
    c.pace['saved'] = time.monotonic()


def _clouds_per_s(c: _Context) -> float:
    return c.plan.batch_size / c.pace['per_step'] if c.pace['per_step'] else 0.0
