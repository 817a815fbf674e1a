"""Fine-tuning, from a config to a report: build, fit, evaluate, vote."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax import augment, builder, evaluate, metrics, params, runs, saved, scores
from point_ft_jax.fit import Fitted, fit
from point_ft_jax.mesh import main_process, make_mesh
from point_ft_jax.model import Model
from point_ft_jax.progress import progress
from point_ft_jax.report import Cost, Evaluation, Protocol, Report, SeedResult, write_report
from point_ft_jax.split import Split
from point_ft_jax.start import load_start


def finetune(config: ConfigDict, command: str = '') -> Report:
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
    folder, plain = runs.begin(config)
    splits = builder.load_splits(config)
    built = builder.build_model(config, len(splits['train'].classes))
    shapes = built.shapes()['params']
    chosen = params.select(shapes, built.method.trainable)
    runs.say(describe(splits, shapes, chosen))
    results = [
        _one_seed(config, plain, built, chosen, splits, folder / f'seed_{seed}', seed)
        for seed in config.seeds
    ]
    report = Report(
        name=config.name,
        command=command,
        protocol=_protocol(config),
        classes=splits['train'].classes,
        seeds=[result for result, _ in results],
        parameters=ledger(shapes, chosen),
        cost=Cost(**results[0][1]),
    )
    if main_process():
        path = write_report(folder, report)
        runs.say(_outcome(report))
        runs.say(f'report: {path}')
    return report


def _one_seed(
    config: ConfigDict,
    plain: dict[str, Any],
    built: Model,
    chosen: params.Tree,
    splits: Mapping[str, Split],
    folder: pathlib.Path,
    seed: int,
) -> tuple[SeedResult, dict[str, float]]:
    """Fits one seed in its folder; gives its result and its cost."""
    mesh = make_mesh()
    steps = max(len(splits['train']) // config.train.batch_size, 1)
    recipe = builder.make_recipe(config, built, steps, mesh)
    variables, origin = load_start(config, built, seed)
    runs.say(origin)
    facts = {'config': plain, 'seed': seed, **_facts(config, splits['train'])}
    saved.save_start(folder, facts, params.partition(variables['params'], chosen)[1])
    plan = runs.plan(config, seed)
    with progress(plan.epochs, label=f'seed {seed}') as show:
        fitted = fit(
            recipe, variables, chosen, splits, plan, folder, show if main_process() else runs.silent
        )
    size = saved.save_delta(folder, fitted.variables, chosen, facts)
    runs.say(f'seed {seed}: delta {size / 2**20:.2f} MiB in {folder / "delta"}')
    result = SeedResult(
        seed=seed,
        chosen=fitted.records['chosen'],
        best_test=fitted.records['best_test'],
        last=fitted.records['last'],
        voted=_voted(config, recipe.module, mesh, fitted, splits['test'], seed),
        history=metrics.read(folder) if main_process() else (),
    )
    return result, fitted.cost


def _voted(
    config: ConfigDict, module: Any, mesh: Any, fitted: Fitted, test: Split, seed: int
) -> Evaluation | None:
    """The test split with voting; the best of `repeats` votes, as the papers report it."""
    if not config.vote.votes:
        return None
    predict = evaluate.make_predict(module, mesh, config.train.batch_size)
    view = augment.named(config.vote.augment)
    confusions = [
        evaluate.confusion(
            evaluate.vote(
                predict,
                fitted.variables,
                test.points,
                config.points,
                view,
                config.vote.votes,
                jax.random.fold_in(jax.random.key(seed), repeat),
            ),
            test.labels,
        )
        for repeat in range(config.vote.repeats)
    ]
    best = max(confusions, key=scores.overall_accuracy)
    return Evaluation(fitted.records['chosen'].epoch, best)


def ledger(shapes: params.Tree, chosen: params.Tree) -> dict[str, tuple[int, int]]:
    """Part of the model -> (parameters, trainable parameters)."""
    moving, _ = params.partition(shapes, chosen)
    return {part: (params.count(shapes[part]), params.count(moving[part])) for part in shapes}


def describe(splits: Mapping[str, Split], shapes: params.Tree, chosen: params.Tree) -> str:
    """Two lines: the clouds, and how many parameters train."""
    clouds = ', '.join(f'{len(split)} {name}' for name, split in splits.items())
    total = params.count(shapes)
    trains = sum(number for _, number in ledger(shapes, chosen).values())
    return (
        f'{clouds} clouds of {splits["train"].points.shape[1]} points, '
        f'{len(splits["train"].classes)} classes\n'
        f'{trains:,} of {total:,} parameters train ({100 * trains / total:.2f} %)'
    )


def _facts(config: ConfigDict, train: Split) -> dict[str, Any]:
    """What a prediction on other files is compared with."""
    radius = np.linalg.norm(train.points - train.points.mean(1, keepdims=True), axis=-1).max(1)
    return {
        'classes': list(train.classes),
        'points': config.points,
        'stored_points': train.points.shape[1],
        'radius': [float(np.quantile(radius, q)) for q in (0.01, 0.5, 0.99)],
    }


def _protocol(config: ConfigDict) -> Protocol:
    return Protocol(
        data=runs.data_line(config),
        points=config.points,
        augmentation=config.train.augment,
        selection=config.select,
        batch_norm=config.batch_norm,
        votes=config.vote.votes,
    )


def _outcome(report: Report) -> str:
    def percent(kind: str) -> str:
        values = [
            100 * scores.overall_accuracy(getattr(seed, kind).confusion) for seed in report.seeds
        ]
        spread = f' ± {np.std(values, ddof=1):.2f}' if len(values) > 1 else ''
        return f'{np.mean(values):.2f}{spread} %'

    return (
        f'test accuracy {percent("chosen")} (epoch chosen by {report.protocol.selection}); '
        f'best test epoch {percent("best_test")} (optimistic)'
    )
