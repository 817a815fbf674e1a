"""Pre-training, from a config to a report: build, fit, reconstruct, report."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax import models
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import teachers
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs.finetune import describe, ledger
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.reports.pretraining import Example, Pretraining, SeedResult, make_report
from point_ft_jax.reports.progress import progress
from point_ft_jax.reports.report import Report
from point_ft_jax.training import metrics_log
from point_ft_jax.training.fit import fit
from point_ft_jax.training.tasks.reconstruction import reconstruction

EXAMPLES = 6


def run(config: ConfigDict, command: str = '') -> Report:
    """Pre-trains as the config says, for every seed, and writes a report.

    A run that was stopped or killed goes on where it was; one that is done is read back. Its folder
    is what --config.init.checkpoint of a fine-tuning run takes.

    Args:
        config: see `config.pretraining`.
        command: what the report says that made it.

    Returns:
        The report that was written to the run's folder.

    Raises:
        UserError: anything that the config, its data, teachers or checkpoint have wrong.
        Stopped: Ctrl-C or SIGTERM; what was done is saved.
    """
    folder, plain = run_folder.begin(config)
    splits = build.load_splits(config)
    widths = teachers.widths(splits['train'])
    built = models.build(build.autoencoder_spec(config, widths))
    shapes = built.shapes()['params']
    chosen = trees.select(shapes, built.trainable)
    devices.say(describe(splits, shapes, chosen))
    results = [
        _one_seed(config, plain, built, chosen, splits, folder / f'seed_{seed}', seed)
        for seed in config.seeds
    ]
    report = make_report(
        Pretraining(
            name=config.name,
            command=command,
            protocol=_protocol(config, widths),
            seeds=[result for result, _ in results],
            parameters=ledger(shapes, chosen),
            cost=results[0][1],
        )
    )
    if main_process():
        path = report.write(folder)
        devices.say(report.outcome)
        devices.say(f'report: {path}')
    return report


def _one_seed(
    config: ConfigDict,
    plain: dict[str, Any],
    built: Autoencoder,
    chosen: trees.Tree,
    splits: Mapping[str, Split],
    folder: pathlib.Path,
    seed: int,
) -> tuple[SeedResult, dict[str, float]]:
    """Fits one seed in its folder; gives its result and its cost."""
    mesh = make_mesh()
    steps = max(len(splits['train']) // config.train.batch_size, 1)
    names = tuple(getattr(built.module, 'projections', None) or ())
    task = reconstruction(names, config.pretrain.chamfer, config.pretrain.sample)
    recipe = build.make_recipe(config, built, steps, mesh, task)
    variables, origin = build.load_start(config, built, seed)
    devices.say(origin)
    train = splits['train']
    metadata = {
        'config': plain,
        'seed': seed,
        'classes': list(train.classes),
        'points': config.points,
        'checkpoint': config.init.checkpoint,
    }
    frozen = trees.partition(variables['params'], chosen)[1]
    saved.save_start(folder, built.spec, metadata, frozen)
    plan = run_folder.plan(config, seed)
    with progress(plan.epochs, label=f'seed {seed}', quiet=not main_process()) as show:
        fitted = fit(
            recipe,
            variables,
            chosen,
            splits,
            plan,
            folder,
            show,
        )
    examples = _examples(built, fitted.variables, splits['test'], config.points)
    result = SeedResult(seed, metrics_log.read(folder) if main_process() else (), examples)
    return result, fitted.cost


def _examples(
    built: Autoencoder, variables: Variables, test: Split, num_points: int
) -> list[Example]:
    """Some test clouds of different classes, masked and reconstructed."""
    _, first = np.unique(test.labels, return_index=True)
    clouds = test.take(np.sort(first)[:EXAMPLES])
    points = inference.prepare(clouds.points, num_points)
    found = built.module.apply(variables, points)
    predicted = np.asarray(found.predicted + found.centers[:, :, None])
    hidden = np.asarray(found.hidden)
    return [
        Example(
            name=clouds.classes[clouds.labels[i]],
            true=points[i],
            visible=np.asarray(found.visible[i]),
            predicted=predicted[i][hidden[i]].reshape(-1, 3),
        )
        for i in range(len(clouds))
    ]


def _protocol(config: ConfigDict, widths: Mapping[str, int]) -> dict[str, str]:
    """What the numbers mean, in words."""
    losses = [config.pretrain.chamfer, *(f'{name} features of a teacher' for name in widths)]
    if config.pretrain.contrast:
        losses.append(f'{CONTRAST} by class')
    return {
        'backbone': f'{config.model.backbone} {config.model.variant}',
        'data': f'{run_folder.data_line(config)}, {config.points:,} points',
        'augmentation': config.train.augment,
        'mask': f'{config.pretrain.mask}, {config.pretrain.mask_ratio:g} of the patches',
        'loss': ' + '.join(losses),
        'kept': config.select.replace('_', ' '),
    }
