"""Fits a model to a split: epochs of steps, evaluation, selection, checkpoints. Knows no config.

From `fit` to the training step there are five calls: `fit`, `_Fit.run`, `_Fit._train_epoch`, the
compiled steps of `loop`, `step_population` and `step`.
"""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.devices import agree, main_process, say, to_host
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.training import costs, divergence, loop, metrics_log
from point_ft_jax.training.evaluator import Evaluator, Outputs
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.interrupt import Stopped, interruptible
from point_ft_jax.training.plan import TrainingPlan, check, keep_records
from point_ft_jax.training.population import Member, Population, Training, start_training
from point_ft_jax.training.resume import Checkpoints
from point_ft_jax.training.step import Recipe

CALL_SECONDS = 10.0  # of steps on the device between two looks at Ctrl-C and at the clock


def fit(
    recipe: Recipe,
    variables: dict[str, trees.Tree],
    trainable: trees.Tree,
    splits: Mapping[str, Split],
    plan: TrainingPlan,
    folder: pathlib.Path | None = None,
    show: Callable[..., None] = lambda *_, **__: None,
) -> Fitted:
    """Trains one model, a population of one with the plan's seed; see `fit_population`.

    Its metrics and its checkpoints are in the same `folder`.
    """
    members, folders = [Member(plan.seed)], folder and [folder]
    return fit_population(
        recipe, [variables], trainable, splits, plan, members, folder, folders, show=show
    )[0]


def fit_population(
    recipe: Recipe,
    starts: Sequence[dict[str, trees.Tree]],
    trainable: trees.Tree,
    splits: Mapping[str, Split],
    plan: TrainingPlan,
    members: Sequence[Member],
    folder: pathlib.Path | None = None,
    folders: Sequence[pathlib.Path] | None = None,
    own_clouds: bool = True,
    show: Callable[..., None] = lambda *_, **__: None,
) -> list[Fitted]:
    """Trains one member, or several over one frozen half in one program; selects the best epochs.

    Each member's numbers are those that it would have alone, up to rounding. It starts from the
    trainable half and the statistics of its own start, and from the frozen half of the first.

    Args:
        recipe: the training step; see `step.Recipe`.
        starts: the variables of each member: 'params' and 'batch_stats'.
        trainable: a tree of bools; see `trees.select`.
        splits: 'train', and any of 'validation' and 'test'.
        plan: how long to train and what to keep; the seeds are the members'.
        members: one or more.
        folder: where the checkpoints go; a fit that was stopped or killed resumes from there, to
            the same bits. None keeps nothing.
        folders: where the metrics of each member go; None keeps none.
        own_clouds: see `Population`.
        show: called as `show(epochs_done, loss=…, accuracy=…, split=…, clouds_per_s=…)`, and as
            `show(epochs_done, doing='compiling')` before it compiles; see `reports.progress`.

    Raises:
        UserError: a selection without its split, fewer clouds than a batch, clouds with too few
            points, a loss that is not finite, or a checkpoint of another model in `folder`.
        Stopped: Ctrl-C or SIGTERM, after saving.
    """
    check(plan, splits, recipe.num_points, recipe.mesh.size)
    with jax.set_mesh(recipe.mesh), contextlib.ExitStack() as resources:
        population = Population.of(members, recipe.module, own_clouds)
        steps = len(splits['train']) // plan.batch_size
        training = start_training(recipe, population, starts, trainable, steps)
        _, frozen = trees.partition(starts[0]['params'], trainable)
        return _Fit(training, frozen, plan, splits, folder, folders, show, resources).run()


class _Fit:
    """A fit in progress: the training, its checkpoints, its logs, and its speed."""

    def __init__(
        self,
        training: Training,
        frozen: trees.Tree,
        plan: TrainingPlan,
        splits: Mapping[str, Split],
        folder: pathlib.Path | None,
        folders: Sequence[pathlib.Path] | None,
        show: Callable[..., None],
        resources: contextlib.ExitStack,
    ) -> None:
        self._recipe, self._population = training.recipe, training.population
        self._members = training.population.members
        self._frozen = frozen
        self._plan, self._split, self._folder, self._show = plan, splits['train'], folder, show
        self._steps = len(self._split) // plan.batch_size  # of an epoch
        self._checkpoints = resources.enter_context(
            Checkpoints(folder, len(self._members), self._steps)
        )
        self._training = self._checkpoints.resume(training)
        step = self._checkpoints.step() or -1
        self._writers = [
            resources.enter_context(metrics_log.writer(path, step, plan.log))
            for path in (folders if folders and main_process() else [None] * len(self._members))
        ]
        for path in folders if folders and main_process() else ():
            metrics_log.check_epochs(path, self._training.steps_done // self._steps)
        self._evaluator = Evaluator(training, splits, plan.batch_size)
        self._first_evaluation = len(splits) > 1
        self._interrupt = resources.enter_context(
            interruptible(folder is not None or plan.return_when_stopped)
        )
        self._diverged: set[int] = set()  # members whose loss or gradient was not finite
        if done := self._training.steps_done:
            last = (done - 1) % self._steps
            self._diverged |= divergence.stopped(self._training, last, last + 1).keys()
        self._history: list[list[dict[str, float]]] = [[] for _ in self._members]
        self._saved_at = time.monotonic()
        self._seconds_per_step = 0.0

    def run(self) -> list[Fitted]:
        """All epochs that remain; the result of every member."""
        first = self._training.steps_done // self._steps
        self._checkpoints.repair_best(self._training)
        if first >= self._plan.epochs or self._is_stale(first):
            return self._results(costs.read(self._folder))
        advance, cost = self._compile(first)
        for epoch in range(first + 1, self._plan.epochs + 1):
            try:
                self._train_epoch(advance, epoch)
                self._end_epoch(epoch)
            except Stopped:
                if not (self._plan.return_when_stopped and all(self._checkpoints.records)):
                    raise
                break
            if self._is_stale(epoch):
                break
        return self._results(self._measure_cost(cost))

    def _is_stale(self, epoch: int) -> bool:
        """Whether no member had a new best epoch for as long as the plan waits for one."""
        best = [records['chosen']['epoch'] for records in self._checkpoints.records if records]
        return bool(self._plan.patience and best and epoch - max(best) >= self._plan.patience)

    def _compile(self, epoch: int) -> tuple[loop.Advance, dict[str, float]]:
        """The compiled steps of an epoch, and their cost."""
        since = time.monotonic()
        done = self._training.steps_done / self._steps
        self._show(done, doing='compiling')
        advance, cost = loop.compile_epoch(
            self._training, self._split, self._order(epoch), self._plan.device_bytes
        )
        self._show(done)
        return advance, {**cost, 'compile_seconds': time.monotonic() - since}

    def _order(self, epoch: int) -> np.ndarray:
        """The batches of an epoch, counted from 0."""
        return self._population.epoch_order(epoch, len(self._split), self._plan.batch_size)

    def _train_epoch(self, advance: loop.Advance, epoch: int) -> None:
        """The steps of an epoch that remain, in calls of about CALL_SECONDS.

        Epochs count from 1.
        """
        order = self._order(epoch - 1)
        first = self._training.steps_done % self._steps
        while first < self._steps:
            last = min(first + self._steps_of_a_call(), self._steps)
            since = time.monotonic()
            self._training = advance(self._training, order, first, last)
            jax.block_until_ready((self._training.state, self._training.logs))
            self._count_time(time.monotonic() - since, last - first)
            self._check_steps(epoch, order, first, last)
            first = last
            if first < self._steps:
                self._show_step(first - 1)
                self._save_or_stop()

    def _check_steps(self, epoch: int, order: np.ndarray, first: int, last: int) -> None:
        """Raises UserError if no member is finite any more; says so of those that are not.

        A member that is not keeps the last state that was, and its records, while others go on.
        """
        found = divergence.stopped(self._training, first, last)
        for k, index in found.items():
            if k in self._diverged:
                continue
            self._diverged.add(k)
            rows = order[index] if order.ndim == 2 else order[index, k]
            told = divergence.explain(self._training, self._split, rows, k, epoch, index)
            if len(found) == len(self._members):
                self._keep_last_good(index)
                raise UserError(f'{told}. {self._checkpoints.kept()}')
            say(f'{told}. It stops there, and the others go on')

    def _keep_last_good(self, index: int) -> None:
        """Saves the state before a step that was not finite, of a member that trains alone."""
        if not self._population.several:
            logs = divergence.before(self._training.logs, index)
            self._training = self._training.replace(self._training.state, logs)
            self._save()

    def _steps_of_a_call(self) -> int:
        known = self._seconds_per_step
        return agree(max(int(CALL_SECONDS / known) if known else 1, 1))

    def _count_time(self, seconds: float, steps: int) -> None:
        self._checkpoints.seconds += seconds
        self._seconds_per_step = seconds / steps

    def _show_step(self, index: int) -> None:
        """Shows the loss of a step of this epoch."""
        loss = float(to_host(self._training.logs['train_loss'])[index].mean())
        done = self._training.steps_done / self._steps
        self._show(done, loss=loss, clouds_per_s=self._clouds_per_s())

    def _end_epoch(self, epoch: int) -> None:
        """Evaluates, writes the metrics, and saves what is due."""
        divergence.check_state(self._training)
        means = self._epoch_means()
        measured, improved = [{} for _ in self._members], [False]
        if epoch % self._plan.evaluate_every == 0 or epoch == self._plan.epochs:
            measured, improved = self._evaluate(epoch)
        self._write_metrics(epoch, means, measured)
        if any(improved):
            # In this order a kill at any moment leaves records in last/ that name an epoch which
            # best/ holds, or which `Checkpoints.repair_best` can still save.
            self._save()
            self._checkpoints.save_best(self._training, improved, epoch)
        self._save_or_stop(save=epoch == self._plan.epochs)

    def _epoch_means(self) -> dict[str, np.ndarray]:
        """The mean of each scalar over the steps of an epoch, [1] or [K]."""
        logs = to_host(self._training.logs)
        return {name: np.atleast_1d(values.mean(0)) for name, values in logs.items()}

    def _evaluate(self, epoch: int) -> tuple[list[dict[str, float]], list[bool]]:
        """Each member's scalars, and whether this is its best epoch so far; updates the records."""
        task = self._recipe.task
        measured, improved = [], []
        if self._first_evaluation:
            self._show(epoch, doing='compiling the evaluation')
            self._first_evaluation = False
        outputs = self._evaluator.outputs(self._training.state)
        for k, (records, splits) in enumerate(zip(self._checkpoints.records, outputs, strict=True)):
            scalars = {name: task.measure(*pair) for name, pair in splits.items()}
            beaten = set()
            if self._is_scored(k, epoch, splits):
                ranks = {name: task.rank(values) for name, values in scalars.items()}
                record = task.record(*splits['test']) if 'test' in splits else []
                beaten = keep_records(self._plan.select, records, ranks, record, epoch)
            else:
                scalars = jax.tree.map(lambda _: math.nan, scalars)
            improved.append('chosen' in beaten)
            measured.append(
                {f'{name}_{what}': v for name, vs in scalars.items() for what, v in vs.items()}
            )
        return measured, improved

    def _is_scored(self, k: int, epoch: int, splits: Outputs) -> bool:
        """Whether a member's answers are a result of this epoch.

        Raises:
            UserError: they are not finite, and no other member's, or none before, are kept.
        """
        records = self._checkpoints.records[k]
        if k in self._diverged and records:
            return False
        who = f', member {k}' if self._population.several else ''
        told = [
            f'the {name} split at epoch {epoch}{who}: {problem}'
            for name, (answers, _) in splits.items()
            if (problem := inference.problem(answers))
        ]
        if not told:
            return True
        if not self._population.several or not records:
            raise UserError(f'{told[0]}; {divergence.ADVICE}. {self._checkpoints.kept()}')
        self._diverged.add(k)
        say(f'{told[0]}. It keeps its best epoch, and the others go on')
        return False

    def _write_metrics(
        self, epoch: int, means: dict[str, np.ndarray], measured: Sequence[dict[str, float]]
    ) -> None:
        """Writes a line of metrics for every member, and shows the epoch."""
        step, speed = self._training.steps_done, self._clouds_per_s()
        timing = {'seconds': self._checkpoints.seconds, 'clouds_per_s': speed}
        rate = float(self._recipe.schedule(step - 1))
        for k, (member, write) in enumerate(zip(self._members, self._writers, strict=True)):
            scalars = {name: float(values[k]) for name, values in means.items()}
            scalars['learning_rate'] = rate * member.rate
            write(step, epoch, scalars | measured[k], timing)
            self._history[k].append({'epoch': epoch, **scalars, **measured[k]})
        self._show(
            epoch,
            loss=float(means['train_loss'].mean()),
            clouds_per_s=speed,
            **_mean_accuracy(measured),
        )

    def _save_or_stop(self, save: bool = False) -> None:
        """Saves if it is due, and raises Stopped after a signal; all processes decide alike."""
        stop = agree(self._interrupt.signal)
        if save or stop or self._save_is_due():
            self._save()
        if stop:
            raise Stopped(stop, self._training.steps_done)

    def _save_is_due(self) -> bool:
        waited = time.monotonic() - self._saved_at
        return bool(agree(int(waited >= self._plan.save_every_seconds)))

    def _save(self) -> None:
        self._checkpoints.save(self._training)
        self._saved_at = time.monotonic()

    def _clouds_per_s(self) -> float:
        clouds = self._plan.batch_size * len(self._members)
        return clouds / self._seconds_per_step if self._seconds_per_step else 0.0

    def _measure_cost(self, cost: dict[str, float]) -> dict[str, float]:
        """The cost of the training that has ended; written beside its checkpoints."""
        flops = costs.step_flops(self._training, self._split, self._order(0)[0])
        speed = {'train_seconds': self._checkpoints.seconds, 'clouds_per_s': self._clouds_per_s()}
        cost = {**cost, 'flops_per_step': flops, **speed}
        costs.write(self._folder, cost)
        return cost

    def _results(self, cost: dict[str, float]) -> list[Fitted]:
        """What the training of every member gave."""
        best = self._checkpoints.best(self._training)
        # As it came: what trained over it may have stored it in fewer bits.
        frozen, moving, statistics = to_host((self._frozen, *best))
        halves = [
            self._population.member_variables(k, moving, statistics)
            for k in range(len(self._members))
        ]
        return [
            self._result(records, frozen, *half, cost, history)
            for records, half, history in zip(
                self._checkpoints.records, halves, self._history, strict=True
            )
        ]

    def _result(
        self,
        records: dict[str, dict[str, Any]],
        frozen: trees.Tree,
        trainable: trees.Tree,
        statistics: trees.Tree,
        cost: dict[str, float],
        history: Sequence[dict[str, float]],
    ) -> Fitted:
        """What the training of one member gave."""
        return Fitted(
            variables={'params': trees.combine(trainable, frozen), 'batch_stats': statistics},
            records={
                kind: self._recipe.task.evaluation(record['epoch'], record['found'])
                for kind, record in records.items()
                if record['found']
            },
            score=records['chosen']['rank'][0],
            cost=cost,
            history=tuple(history),
        )


def _mean_accuracy(measured: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The members' mean accuracy and the split that it is of; {} where none was measured."""
    for split in ('validation', 'test'):
        values = [scalars.get(f'{split}_accuracy') for scalars in measured]
        if None not in values:
            return {'accuracy': float(np.mean(values)), 'split': split}
    return {}
