"""All methods from one backbone: the comparison that the papers print.

A config says which methods (`compare.methods`), and what of the config is another for some of them
(`compare.changes`, by method). Each is a run of its own in the folder. `compare.published` says of
which backbone and data set the papers' figures are that stand beside.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from point_ft_jax.core import devices, plugins
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.evaluation import metrics
from point_ft_jax.experiments import build, published, run_folder
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.reports import comparison
from point_ft_jax.reports.comparison import Comparison
from point_ft_jax.reports.finetuning import Finetuning
from point_ft_jax.reports.report import Report
from point_ft_jax.training import costs


def run(config: ConfigDict, command: str = '') -> Report:
    """Runs every method of the config, and writes a report with their table.

    A comparison that was stopped goes on where it was. Methods whose form does not fit the backbone
    are left out, and the report says why.

    Args:
        config: see `configs/compare_methods.py`.
        command: what the table says that made it.

    Returns:
        The report; its record has the table's rows, a method each, with accuracies in percent and
        memory in MiB of 2^20 bytes.

    Raises:
        UserError: see `finetune.run`; methods with different augmentations; or none that fits.
    """
    configs = {name: _of_method(config, name) for name in config.compare.methods}
    _check_augmentations(configs)
    left_out = {name: why for name, own in configs.items() if (why := _misfit(name, own))}
    if len(left_out) == len(configs):
        raise_all([f'{name}: {why}' for name, why in left_out.items()], 'no method fits:')
    folder, _ = run_folder.begin(config)
    figures = _published(config)
    rows = []
    for name, own in configs.items():
        if name in left_out:
            devices.say(f'\n== {name}: left out: {left_out[name]}')
            continue
        own.folder = str(folder / name.replace('+', '_'))
        devices.say(f'\n== {name}')
        rows.append(_row(name, own, finetune.run(own).record, figures.get(name)))
        report = comparison.make_report(
            Comparison(
                config.name,
                run_folder.command_of(folder, command),
                _protocol(config),
                rows,
                _sources(config, figures),
                left_out,
            )
        )
        if main_process():
            report.write(folder)  # of those that are done, should the next one fail
    devices.say('')
    return run_folder.publish(report, folder)


def _of_method(config: ConfigDict, name: str) -> ConfigDict:
    """The config of one method's run."""
    plain = config.to_dict()
    changes = plain.pop('compare')['changes'].get(name, {})
    own = ConfigDict({**plain, 'job': 'finetune', 'name': f'{config.name}_{name}'})
    own.method = ConfigDict({'name': name, 'options': {}, 'trainable': ()})
    own.update(changes)
    return own


def _check_augmentations(configs: Mapping[str, ConfigDict]) -> None:
    found = {name: own.train.augment for name, own in configs.items()}
    if len(set(found.values())) > 1:
        listed = ', '.join(f'{name}: {augment}' for name, augment in found.items())
        raise UserError(
            f'the methods are trained with different augmentations ({listed}); rotation alone is '
            'worth some points on scans, so that their accuracies can not stand in one table: '
            'give all the same train.augment'
        )


def _misfit(name: str, config: ConfigDict) -> str:
    """Why the form of a method does not fit the backbone; '' where it does."""
    if not set(name.split('+')) <= set(plugins.available('methods')):
        return ''  # a name that is none: the run of it says so
    try:
        build.build_model(config, 2).shapes()
    except UserError as error:
        return str(error)
    return ''


def _published(config: ConfigDict) -> dict[str, published.Published]:
    """The papers' figures of the methods, of the setting that the config names."""
    backbone, dataset = config.compare.published
    return published.figures(backbone, dataset, config.train.augment)


def _sources(config: ConfigDict, figures: Mapping[str, published.Published]) -> list[str]:
    """Of what the papers' figures are and who says so, a line each; [] without figures."""
    if not figures:
        return []
    backbone, dataset = config.compare.published
    augment = published.AUGMENTATIONS[config.train.augment]
    return [
        f'The papers: {backbone}, {dataset}, {augment}; without voting, their best test epoch.',
        *(f'{name}: {figure.source}' for name, figure in figures.items()),
    ]


def _row(
    name: str, config: ConfigDict, found: Finetuning, figure: published.Published | None
) -> dict[str, Any]:
    total, trainable = (sum(p[i] for p in found.parameters.values()) for i in (0, 1))
    accuracies = [metrics.overall_accuracy(seed.chosen.confusion) for seed in found.seeds]
    mean, half = comparison.interval(accuracies)
    cost, clouds = found.cost, config.train.batch_size
    step = _step(config, len(found.classes))
    return {
        'method': name,
        'trainable M': f'{trainable / 1e6:.3f}',
        'trainable %': f'{100 * trainable / total:.2f}',
        'accuracy %': f'{100 * mean:.2f}',
        '± %': f'{100 * half:.2f}' if half is not None else '',
        'forward GFLOP': f'{_forward_flops(config, len(found.classes)) / 1e9:.2f}',
        'step GFLOP': f'{step["flops"] / clouds / 1e9:.2f}',
        'step ms': f'{1000 * clouds / cost.clouds_per_s:.0f}' if cost.clouds_per_s else '',
        'memory MiB': f'{step["total"] / 2**20:.0f}',
        'delta MiB': f'{cost.delta_bytes / 2**20:.2f}' if cost.delta_bytes else '',
        'paper %': f'{figure.accuracy:.2f}' if figure else '',
        'paper M': f'{figure.trainable:.2f}' if figure and figure.trainable else '',
    }


def _step(config: ConfigDict, num_classes: int) -> dict[str, float]:
    """What a training step of one model takes; see `costs.step_memory`."""
    model = build.build_model(config, num_classes)
    recipe = build.make_recipe(config, model, 1, make_mesh())
    channels = len(build.channels_of(config))
    return costs.step_memory(model, recipe, config.train.batch_size, channels)


def _protocol(config: ConfigDict) -> str:
    """What the accuracies depend on, in words."""
    seeds = ', '.join(map(str, run_folder.seeds(config)))
    return (
        f'{run_folder.data_line(config)}, {config.points:,} points, augmentation '
        f'{config.train.augment}, {config.train.epochs} epochs, epoch chosen by {config.select}, '
        f'seeds {seeds}, batches of {config.train.batch_size} clouds.'
    )


def _forward_flops(config: ConfigDict, num_classes: int) -> float:
    """The floating-point operations of a cloud's forward pass."""
    built = build.build_model(config, num_classes)
    channels = 3 + len(build.channels_of(config))
    cloud = jax.ShapeDtypeStruct((1, config.points, channels), jnp.float32)
    return costs.count_flops(built.module.apply, built.shapes(), cloud) or 0.0
