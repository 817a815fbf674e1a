"""All methods from one backbone: the comparison that the papers print.

A config says which methods (`compare.methods`), and what of the config is another for some of them
(`compare.changes`, by method). Each is a run of its own in the folder.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import metrics
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.reports import comparison
from point_ft_jax.reports.finetuning import Finetuning
from point_ft_jax.reports.report import Report
from point_ft_jax.training import costs


def run(config: ConfigDict, command: str = '') -> Report:
    """Runs every method of the config, and writes a report with their table.

    A comparison that was stopped goes on where it was.

    Args:
        config: see `configs/compare_methods.py`.
        command: what the table says that made it.

    Returns:
        The report; its record is the table's rows, a method each, with accuracies in percent and
        memory in MiB of 2^20 bytes.

    Raises:
        UserError: see `finetune.run`; or methods with different augmentations.
    """
    configs = {name: _of_method(config, name) for name in config.compare.methods}
    _check_augmentations(configs)
    folder, _ = run_folder.begin(config)
    rows = []
    for name, own in configs.items():
        own.folder = str(folder / name.replace('+', '_'))
        devices.say(f'\n== {name}')
        found = finetune.run(own, f'{command} ({name})').record
        rows.append(_row(name, own, found))
        report = comparison.make_report(rows, config.name, command, _protocol(config))
        if main_process():
            report.write(folder)
    devices.say(f'\n{report.outcome}\n\nreport: {folder / "report.md"}')
    return report


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


def _row(name: str, config: ConfigDict, found: Finetuning) -> dict[str, Any]:
    total, trainable = (sum(p[i] for p in found.parameters.values()) for i in (0, 1))
    accuracies = [100 * metrics.overall_accuracy(seed.chosen.confusion) for seed in found.seeds]
    cost = found.cost
    memory = (cost.argument_bytes or 0) + (cost.temporary_bytes or 0)
    return {
        'method': name,
        'trainable M': f'{trainable / 1e6:.3f}',
        'trainable %': f'{100 * trainable / total:.2f}',
        'accuracy %': f'{np.mean(accuracies):.2f}',
        'deviation': f'{np.std(accuracies, ddof=1):.2f}' if len(accuracies) > 1 else '',
        'forward GFLOP': f'{_forward_flops(config, len(found.classes)) / 1e9:.2f}',
        'step ms': f'{1000 * config.train.batch_size / cost.clouds_per_s:.0f}'
        if cost.clouds_per_s
        else '',
        'memory MiB': f'{memory / 2**20:.0f}',
        'delta MiB': f'{cost.delta_bytes / 2**20:.2f}' if cost.delta_bytes else '',
    }


def _protocol(config: ConfigDict) -> str:
    """What the accuracies depend on, in words."""
    seeds = ', '.join(map(str, config.seeds))
    return (
        f'{run_folder.data_line(config)}, {config.points:,} points, augmentation '
        f'{config.train.augment}, {config.train.epochs} epochs, epoch chosen by {config.select}, '
        f'seeds {seeds}, batches of {config.train.batch_size} clouds.'
    )


def _forward_flops(config: ConfigDict, num_classes: int) -> float:
    """The floating-point operations of a cloud's forward pass."""
    built = build.build_model(config, num_classes)
    cloud = jax.ShapeDtypeStruct((1, config.points, 3), jnp.float32)
    return costs.count_flops(built.module.apply, built.shapes(), cloud) or 0.0
