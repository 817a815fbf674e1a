"""Fine-tuning, from a config to a report: build, fit, evaluate, vote."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import delta
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment
from point_ft_jax.data.fingerprint import fingerprints
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.fitting import Fitting
from point_ft_jax.experiments.jobs import _cross_validation as cross_validation
from point_ft_jax.models.model import Model
from point_ft_jax.models.tokenizer import require_points
from point_ft_jax.reports import tables
from point_ft_jax.reports.costs import Cost
from point_ft_jax.reports.finetuning import TASKS, Finetuning, Protocol, SeedResult, make_report
from point_ft_jax.reports.part_segmentation import Gallery
from point_ft_jax.reports.report import Report
from point_ft_jax.reports.samples import Samples
from point_ft_jax.training import metrics_log, plan
from point_ft_jax.training.finetune import training_metadata
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.tasks.task import Task


def run(config: ConfigDict, command: str = '') -> Report:
    """Fine-tunes as the config says, for every seed, and writes a report.

    A run that was stopped or killed goes on where it was; one that is done is read back.

    Args:
        config: see `config.default`.
        command: what the report says that made it.

    Returns:
        The report that was written to the run's folder.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
        Stopped: Ctrl-C or SIGTERM; what was done is saved.
    """
    folder, plain = run_folder.begin(config)
    splits = build.load_splits(config)
    build.say_few(config, splits)
    train = splits['train']
    config = build.with_batch_for(config, len(train))
    model = build.build_model(config, len(train.classes), len(train.part_names))
    crossed = None
    if config.validation.get('folds', 0):
        crossed = cross_validation.cross_validate(config, model, train, folder)
        config = crossed.settle(config)
    _check(config, model, splits)
    fitting = Fitting(
        config,
        model,
        splits,
        build.task_of(config, train),
        run_folder.plan(config, config.seeds[0]),
        {
            'config': plain,
            'checkpoint': config.init.checkpoint,
            **training_metadata(train, config.points),
            'data': fingerprints(splits),
        },
    )
    shapes = model.shapes()['params']
    devices.say(describe(splits, shapes, fitting.trainable))
    outcomes = _fit_all(fitting, folder)
    if config.population_rates:
        outcomes = [_best_rate(config, outcomes, folder)]
    report = make_report(
        Finetuning(
            name=config.name,
            command=run_folder.command_of(folder, command),
            protocol=_protocol(config, fitting.task),
            task=fitting.task.name,
            classes=train.classes,
            seeds=[outcome.result for outcome in outcomes],
            parameters=trees.counts(shapes, fitting.trainable),
            cost=Cost(**outcomes[0].cost),
            gallery=outcomes[0].gallery,
            model=run_folder.model_line(config),
            clouds={name: len(split) for name, split in splits.items()},
        )
    )
    if crossed:
        report = dataclasses.replace(report, sections=[*report.sections, crossed.section()])
    return run_folder.publish(report, folder)


def _check(config: ConfigDict, model: Model, splits: Mapping[str, Split]) -> None:
    """Raises UserError for what would otherwise be found only after something was saved."""
    plan.check(run_folder.plan(config, config.seeds[0]), splits, config.points, make_mesh().size)
    if config.vote.votes:
        augment.named(config.vote.augment)
    cloud = jax.ShapeDtypeStruct((1, config.points, 3), jnp.float32)
    require_points(cloud, model.module.backbone.fewest_points)


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What one run gave: its result, its cost, what is shown of its test split, and its score."""

    result: SeedResult
    cost: dict[str, float]
    gallery: Gallery | Samples
    score: float


def _fit_all(fitting: Fitting, folder: pathlib.Path) -> list[_Outcome]:
    """Fits every seed after the other, or all members of a population in one program."""
    config = fitting.config
    if config.population == 1:
        folders = [folder / f'seed_{seed}' for seed in config.seeds]
        pairs = zip(config.seeds, folders, strict=True)
        return [_finish(fitting, fitting.fit_seed(*pair), *pair) for pair in pairs]
    members = run_folder.members(config)
    folders = [folder / run_folder.member_name(config, member) for member in members]
    own_clouds = config.population_clouds == 'own'
    fitted = fitting.fit_members(members, folder, folders, own_clouds)
    return [
        _finish(fitting, one, member.seed, place)
        for one, member, place in zip(fitted, members, folders, strict=True)
    ]


def _finish(fitting: Fitting, fitted: Fitted, seed: int, folder: pathlib.Path) -> _Outcome:
    """Saves the delta of a fit, and evaluates it with voting."""
    size = delta.save(
        folder / saved.DELTA,
        fitting.model.spec,
        fitted.variables,
        fitting.trainable,
        fitting.metadata_of(seed),
    )
    model_size = trees.size_bytes(fitted.variables)
    devices.say(
        f'{folder.name}: delta {size / 2**20:.2f} MiB in {folder / saved.DELTA} '
        f'(the whole model: {model_size / 2**20:.2f} MiB)'
    )
    result = SeedResult(
        seed=seed,
        chosen=fitted.records['chosen'],
        best_test=fitted.records['best_test'],
        last=fitted.records['last'],
        voted=_voted(fitting, fitted, seed),
        history=metrics_log.read(folder) if main_process() else (),
    )
    cost = {**fitted.cost, 'delta_bytes': size, 'model_bytes': model_size}
    return _Outcome(result, cost, _gallery(fitting, fitted), fitted.score)


def _best_rate(config: ConfigDict, outcomes: Sequence[_Outcome], folder: pathlib.Path) -> _Outcome:
    """The outcome of the rate that the protocol's split prefers; writes them all to rates.md."""
    rows = [
        {
            'learning rate': f'{rate:g}',
            f'{config.select} score': f'{outcome.score:.4f}',
            'test %': f'{100 * next(iter(outcome.result.chosen.scores().values())):.2f}',
        }
        for rate, outcome in zip(config.population_rates, outcomes, strict=True)
    ]
    if main_process():
        (folder / 'rates.md').write_text(tables.markdown(rows) + '\n', encoding='utf-8')
    devices.say(tables.text(rows))
    return max(outcomes, key=lambda outcome: outcome.score)


def _voted(fitting: Fitting, fitted: Fitted, seed: int) -> Any:
    """The evaluation of the test split with voting, the best of `repeats` votes as in the papers.

    None without votes.
    """
    config, task, test = fitting.config, fitting.task, fitting.splits['test']
    if not config.vote.votes:
        return None
    recipe, augmentation = fitting.recipe, augment.named(config.vote.augment, test.channels)
    vote = task.voter(
        recipe.module, recipe.mesh, config.train.batch_size, augmentation, config.vote.votes
    )
    _, targets = task.prepare(test, config.points)
    votes = []
    for repeat in range(config.vote.repeats):
        key = jax.random.fold_in(jax.random.key(seed), repeat)
        answers = vote(fitted.variables, test, config.points, key)
        rank = task.rank(task.measure(answers, targets))
        votes.append((rank, task.record(answers, targets)))
    _, best = max(votes, key=lambda vote: vote[0])
    return task.evaluation(fitted.records['chosen'].epoch, best)


def _gallery(fitting: Fitting, fitted: Fitted) -> Gallery | Samples:
    """What a report shows of the test split at the best epoch."""
    recipe, test = fitting.recipe, fitting.splits['test']

    def outputs() -> tuple[np.ndarray, Any, Any]:
        points, targets = recipe.task.prepare(test, recipe.num_points)
        answer = functools.partial(recipe.task.answer, recipe.module)

        def shown(variables: Variables, points: trees.Array, targets: trees.Targets) -> Any:
            answers = answer(variables, points, targets)
            if fitting.model.spec.num_parts is not None:
                return answers
            return answers, recipe.module.apply(variables, points, method='features')

        run = inference.in_batches(shown, recipe.mesh, fitting.plan.batch_size)
        return points, run(fitted.variables, points, targets), targets

    return TASKS[recipe.task.name].gallery(fitted.records['chosen'], test, outputs)


def describe(splits: Mapping[str, Split], shapes: trees.Tree, trainable: trees.Tree) -> str:
    """Two lines: the clouds, and how many parameters train."""
    clouds = ', '.join(f'{len(split)} {name}' for name, split in splits.items())
    total = trees.count(shapes)
    trains = sum(number for _, number in trees.counts(shapes, trainable).values())
    return (
        f'{clouds} clouds of {splits["train"].points.shape[1]} points, '
        f'{len(splits["train"].classes)} classes\n'
        f'{trains:,} of {total:,} parameters train ({100 * trains / total:.2f} %)'
    )


def _protocol(config: ConfigDict, task: Task) -> Protocol:
    return Protocol(
        data=run_folder.data_line(config),
        points=config.points,
        augmentation=', '.join(filter(None, [config.train.augment, task.sampling])),
        selection=config.select,
        batch_norm=config.batch_norm,
        votes=config.vote.votes,
    )
