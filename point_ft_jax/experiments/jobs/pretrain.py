"""Pre-training, from a config to a report: build, fit, reconstruct, report."""

import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax import models
from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import teachers
from point_ft_jax.data.fingerprint import fingerprints
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.fitting import Fitting
from point_ft_jax.experiments.jobs.finetune import describe
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.reports.pretraining import Example, Pretraining, SeedResult, make_report
from point_ft_jax.reports.report import Report
from point_ft_jax.training import metrics_log
from point_ft_jax.training.tasks.reconstruction import reconstruction
from point_ft_jax.training.tasks.task import Task

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
    train = splits['train']
    config = build.with_batch_for(config, len(train))
    widths = teachers.widths(train)
    model = models.build(build.autoencoder_spec(config, widths))
    metadata = {
        'config': plain,
        'classes': list(train.classes),
        'points': config.points,
        'checkpoint': config.init.checkpoint,
        'data': fingerprints(splits),
    }
    plan = run_folder.plan(config, config.seeds[0])
    fitting = Fitting(config, model, splits, _task(config, model), plan, metadata)
    shapes = model.shapes()['params']
    devices.say(describe(splits, shapes, fitting.trainable))
    results = [_one_seed(fitting, seed, folder / f'seed_{seed}') for seed in config.seeds]
    report = make_report(
        Pretraining(
            name=config.name,
            command=run_folder.command_of(folder, command),
            protocol=_protocol(config, widths),
            seeds=[result for result, _ in results],
            parameters=trees.counts(shapes, fitting.trainable),
            cost=results[0][1],
            clouds={name: len(split) for name, split in splits.items()},
        )
    )
    return run_folder.publish(report, folder)


def _task(config: ConfigDict, model: Autoencoder) -> Task:
    """The reconstruction that the config trains for."""
    names = tuple(getattr(model.module, 'projections', None) or ())
    auxiliary = getattr(model.module, 'auxiliary', ())
    plan = config.pretrain
    return reconstruction(names, plan.chamfer, plan.sample, auxiliary, plan.contrast_by)


def _one_seed(
    fitting: Fitting, seed: int, folder: pathlib.Path
) -> tuple[SeedResult, dict[str, float]]:
    """Fits one seed in its folder; its result and its cost."""
    fitted = fitting.fit_seed(seed, folder)
    test, num_points = fitting.splits['test'], fitting.recipe.num_points
    examples = _examples(fitting.model, fitted.variables, test, num_points)
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
        losses.append(f'{CONTRAST} by {config.pretrain.contrast_by}')
    return {
        'backbone': f'{config.model.backbone} {config.model.variant}',
        'data': f'{run_folder.data_line(config)}, {config.points:,} points',
        'augmentation': config.train.augment,
        'mask': f'{config.pretrain.mask}, {config.pretrain.mask_ratio:g} of the patches',
        'loss': ' + '.join(losses),
        'kept': config.select.replace('_', ' '),
    }
