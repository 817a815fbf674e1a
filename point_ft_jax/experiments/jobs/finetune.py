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
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference, voting
from point_ft_jax.evaluation.metrics import Evaluation
from point_ft_jax.evaluation.part_metrics import PartEvaluation
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.models.model import Model
from point_ft_jax.models.tokenizer import require_points
from point_ft_jax.reports import part_segmentation as part_report
from point_ft_jax.reports import tables
from point_ft_jax.reports.costs import Cost
from point_ft_jax.reports.finetuning import Finetuning, Protocol, SeedResult, make_report
from point_ft_jax.reports.part_segmentation import Gallery
from point_ft_jax.reports.progress import progress
from point_ft_jax.reports.report import Report
from point_ft_jax.training import metrics_log, plan
from point_ft_jax.training.fit import Fitted, fit, fit_all
from point_ft_jax.training.step import Recipe
from point_ft_jax.training.tasks import part_segmentation


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
    train = splits['train']
    built = build.build_model(config, len(train.classes), len(train.part_names))
    _check(config, built, splits)
    shapes = built.shapes()['params']
    chosen = trees.select(shapes, built.method.trainable)
    devices.say(describe(splits, shapes, chosen))
    job = _Job(config, plain, built, chosen, splits)
    if config.population > 1:
        outcomes = _together(job, folder)
    else:
        outcomes = [_one_seed(job, folder / f'seed_{seed}', seed) for seed in config.seeds]
    if config.population_rates:
        outcomes = [_best_rate(config, outcomes, folder)]
    report = make_report(
        Finetuning(
            name=config.name,
            command=command,
            protocol=_protocol(config),
            task=config.task,
            classes=train.classes,
            seeds=[outcome.result for outcome in outcomes],
            parameters=ledger(shapes, chosen),
            cost=Cost(**outcomes[0].cost),
            gallery=outcomes[0].gallery,
        )
    )
    if main_process():
        path = report.write(folder)
        devices.say(report.outcome)
        devices.say(f'report: {path}')
    return report


def _check(config: ConfigDict, built: Model, splits: Mapping[str, Split]) -> None:
    """Raises UserError for what would else be found wrong when something is saved already."""
    plan.check(run_folder.plan(config, config.seeds[0]), splits, config.points, make_mesh().size)
    if config.vote.votes:
        augment.named(config.vote.augment)
    cloud = jax.ShapeDtypeStruct((1, config.points, 3), jnp.float32)
    require_points(cloud, built.module.backbone.fewest_points)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the runs of one config share; `plain` is the config in JSON's types."""

    config: ConfigDict
    plain: dict[str, Any]
    built: Model
    chosen: trees.Tree
    splits: Mapping[str, Split]

    def recipe(self) -> Recipe:
        """The training step."""
        steps = max(len(self.splits['train']) // self.config.train.batch_size, 1)
        task = build.task_of(self.config, self.splits['train'])
        return build.make_recipe(self.config, self.built, steps, make_mesh(), task)

    def metadata(self, seed: int) -> dict[str, Any]:
        """What is saved beside the model of a seed and its spec."""
        return {
            'config': self.plain,
            'seed': seed,
            'checkpoint': self.config.init.checkpoint,
            **_metadata(self.config, self.splits['train']),
        }


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What one run gave: its result, its cost, pictures of segmented shapes, and its score."""

    result: SeedResult
    cost: dict[str, float]
    gallery: Gallery | None
    score: float


def _one_seed(job: _Job, folder: pathlib.Path, seed: int) -> _Outcome:
    """Fits one seed in its folder."""
    recipe = job.recipe()
    variables, origin = build.load_start(job.config, job.built, seed)
    devices.say(origin)
    frozen = trees.partition(variables['params'], job.chosen)[1]
    saved.save_start(folder, job.built.spec, job.metadata(seed), frozen)
    schedule = run_folder.plan(job.config, seed)
    with progress(schedule.epochs, label=f'seed {seed}', quiet=not main_process()) as show:
        fitted = fit(
            recipe,
            variables,
            job.chosen,
            job.splits,
            schedule,
            folder,
            show,
        )
    return _finish(job, recipe, fitted, folder, seed)


def _together(job: _Job, folder: pathlib.Path) -> list[_Outcome]:
    """Fits all members of a population in one program, each with a folder for what is its own."""
    config, recipe, crew = job.config, job.recipe(), run_folder.members(job.config)
    starts = {}
    for seed in dict.fromkeys(member.seed for member in crew):
        starts[seed], origin = build.load_start(config, job.built, seed)
        if len(starts) == 1:
            devices.say(f'{origin}, for all {len(crew)} members')
    frozen = trees.partition(starts[crew[0].seed]['params'], job.chosen)[1]
    saved.save_frozen(folder, frozen)
    folders = [folder / run_folder.member_name(config, member) for member in crew]
    for member, place in zip(crew, folders, strict=True):
        saved.save_metadata(place, job.built.spec, job.metadata(member.seed))
    schedule = run_folder.plan(config, crew[0].seed)
    with progress(schedule.epochs, label=f'{len(crew)} members') as show:
        fitted = fit_all(
            recipe,
            [starts[member.seed] for member in crew],
            job.chosen,
            job.splits,
            schedule,
            crew,
            own_clouds=len(starts) > 1 and config.population_clouds == 'own',
            folder=folder / 'population',
            folders=folders,
            show=show,
        )
    return [
        _finish(job, recipe, one, place, member.seed)
        for one, place, member in zip(fitted, folders, crew, strict=True)
    ]


def _finish(job: _Job, recipe: Recipe, fitted: Fitted, folder: pathlib.Path, seed: int) -> _Outcome:
    """Saves what a fit gave, and judges it."""
    size = delta.save(
        folder / saved.DELTA, job.built.spec, fitted.variables, job.chosen, job.metadata(seed)
    )
    whole = trees.size_bytes(fitted.variables)
    devices.say(
        f'{folder.name}: delta {size / 2**20:.2f} MiB in {folder / saved.DELTA} '
        f'(the whole model: {whole / 2**20:.2f} MiB)'
    )
    test = job.splits['test']
    result = SeedResult(
        seed=seed,
        chosen=fitted.records['chosen'],
        best_test=fitted.records['best_test'],
        last=fitted.records['last'],
        voted=_voted(job.config, recipe, fitted, test, seed),
        history=metrics_log.read(folder) if main_process() else (),
    )
    cost = {**fitted.cost, 'delta_bytes': size, 'model_bytes': whole}
    return _Outcome(result, cost, _gallery(job.config, recipe, fitted, test), fitted.score)


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


def _voted(
    config: ConfigDict, recipe: Recipe, fitted: Fitted, test: Split, seed: int
) -> Evaluation | PartEvaluation | None:
    """The test split with voting; the best of `repeats` votes, as the papers report it."""
    if not config.vote.votes:
        return None
    task, batch = recipe.task, config.train.batch_size
    view = augment.named(config.vote.augment)
    points, targets = task.prepare(test, config.points)
    classify = inference.make_predict(recipe.module, recipe.mesh, batch)
    found = []
    for repeat in range(config.vote.repeats):
        key = jax.random.fold_in(jax.random.key(seed), repeat)
        if config.task == build.SEGMENTATION:
            answers = part_segmentation.vote(
                *(recipe.module, recipe.mesh, batch, fitted.variables, points, targets, view),
                *(config.vote.votes, key, test.parts),
            )
        else:
            answers = voting.vote(
                *(classify, fitted.variables, test.points, config.points, view),
                *(config.vote.votes, key),
            )
        measured = task.measure(answers, targets)
        found.append((task.rank(measured), task.record(answers, targets)))
    _, best = max(found, key=lambda entry: entry[0])
    return task.evaluation(fitted.records['chosen'].epoch, best)


def _gallery(config: ConfigDict, recipe: Recipe, fitted: Fitted, test: Split) -> Gallery | None:
    """Test shapes of a part segmenter, segmented at the chosen epoch."""
    if config.task != build.SEGMENTATION:
        return None
    points, targets = recipe.task.prepare(test, config.points)
    answer = functools.partial(recipe.task.answer, recipe.module)
    run = inference.in_batches(answer, recipe.mesh, config.train.batch_size)
    answers = run(fitted.variables, points, targets)['part']
    chosen = fitted.records['chosen']
    return part_report.choose(chosen, points, targets['part'], answers, test.names, test.parts)


def ledger(shapes: trees.Tree, chosen: trees.Tree) -> dict[str, tuple[int, int]]:
    """Part of the model -> (parameters, trainable parameters)."""
    moving, _ = trees.partition(shapes, chosen)
    return {part: (trees.count(shapes[part]), trees.count(moving[part])) for part in shapes}


def describe(splits: Mapping[str, Split], shapes: trees.Tree, chosen: trees.Tree) -> str:
    """Two lines: the clouds, and how many parameters train."""
    clouds = ', '.join(f'{len(split)} {name}' for name, split in splits.items())
    total = trees.count(shapes)
    trains = sum(number for _, number in ledger(shapes, chosen).values())
    return (
        f'{clouds} clouds of {splits["train"].points.shape[1]} points, '
        f'{len(splits["train"].classes)} classes\n'
        f'{trains:,} of {total:,} parameters train ({100 * trains / total:.2f} %)'
    )


def _metadata(config: ConfigDict, train: Split) -> dict[str, Any]:
    """What a prediction on other files is compared with."""
    radius = np.linalg.norm(train.points - train.points.mean(1, keepdims=True), axis=-1).max(1)
    return {
        'classes': list(train.classes),
        'part_names': list(train.part_names),
        'points': config.points,
        'stored_points': train.points.shape[1],
        'radius': [float(np.quantile(radius, q)) for q in (0.01, 0.5, 0.99)],
    }


def _protocol(config: ConfigDict) -> Protocol:
    return Protocol(
        data=run_folder.data_line(config),
        points=config.points,
        augmentation=_augmentation(config),
        selection=config.select,
        batch_norm=config.batch_norm,
        votes=config.vote.votes,
    )


def _augmentation(config: ConfigDict) -> str:
    """What happens to the training clouds, in words."""
    if config.task == build.SEGMENTATION and config.sampling == 'with_replacement':
        return f'{config.train.augment}, points drawn with replacement in training and testing'
    return config.train.augment
