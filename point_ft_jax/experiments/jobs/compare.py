"""All methods from one backbone: the comparison that the papers print, as a table and a picture.

A config says which methods (`compare.methods`), and what of the config is another for some of them
(`compare.changes`, by method). Each is a run of its own in the folder.
"""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation import metrics
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.reports import figures, tables
from point_ft_jax.reports.finetuning import Report
from point_ft_jax.training import step


def compare(config: ConfigDict, command: str = '') -> list[dict[str, Any]]:
    """Runs every method of the config, and writes comparison.md, comparison.csv and comparison.png.

    A comparison that was stopped goes on where it was.

    Args:
        config: see `configs/compare_methods.py`.
        command: what the table says that made it.

    Returns:
        The table's rows, a method each; accuracies in percent, memory in MiB of 2^20 bytes.

    Raises:
        UserError: see `pipeline.finetune`; or methods with different augmentations.
    """
    configs = {name: _of_method(config, name) for name in config.compare.methods}
    _check_augmentations(configs)
    folder, _ = run_folder.begin(config)
    rows = []
    for name, own in configs.items():
        own.folder = str(folder / name.replace('+', '_'))
        run_folder.say(f'\n== {name}')
        report = finetune.finetune(own, f'{command} ({name})')
        rows.append(_row(name, own, report))
        if main_process():
            write(folder, rows, command, config)
    run_folder.say(f'\n{tables.text(rows)}\n\n{folder / "comparison.md"}')
    return rows


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


def _row(name: str, config: ConfigDict, report: Report) -> dict[str, Any]:
    total, trainable = (sum(p[i] for p in report.parameters.values()) for i in (0, 1))
    accuracies = [100 * metrics.overall_accuracy(seed.chosen.confusion) for seed in report.seeds]
    cost = report.cost
    memory = (cost.argument_bytes or 0) + (cost.temporary_bytes or 0)
    return {
        'method': name,
        'trainable M': f'{trainable / 1e6:.3f}',
        'trainable %': f'{100 * trainable / total:.2f}',
        'accuracy %': f'{np.mean(accuracies):.2f}',
        'deviation': f'{np.std(accuracies, ddof=1):.2f}' if len(accuracies) > 1 else '',
        'forward GFLOP': f'{_forward_flops(config, len(report.classes)) / 1e9:.2f}',
        'step ms': f'{1000 * config.train.batch_size / cost.clouds_per_s:.0f}'
        if cost.clouds_per_s
        else '',
        'memory MiB': f'{memory / 2**20:.0f}',
        'delta MiB': f'{cost.delta_bytes / 2**20:.2f}' if cost.delta_bytes else '',
    }


def _forward_flops(config: ConfigDict, num_classes: int) -> float:
    """The floating-point operations of a cloud's forward pass."""
    built = build.build_model(config, num_classes)
    cloud = jax.ShapeDtypeStruct((1, config.points, 3), jnp.float32)
    return step.count_flops(built.module.apply, built.shapes(), cloud) or 0.0


def write(
    folder: pathlib.Path, rows: Sequence[Mapping[str, Any]], command: str, config: ConfigDict
) -> None:
    """Writes the table as Markdown and CSV, and accuracy against trainable parameters."""
    seeds = ', '.join(map(str, config.seeds))
    text = (
        f'# {config.name}\n\n```\n{command}\n```\n\n{run_folder.data_line(config)}, '
        f'{config.points:,} points, augmentation {config.train.augment}, {config.train.epochs} '
        f'epochs, epoch chosen by {config.select}, seeds {seeds}. Accuracy on the test split, mean '
        'and sample deviation over the seeds; memory is that of a training step of '
        f'{config.train.batch_size} clouds, by XLA; the time of a step was taken in the run.\n\n'
        f'{tables.markdown(rows)}\n\n![accuracy against trainable parameters](comparison.png)\n'
    )
    (folder / 'comparison.md').write_text(text, encoding='utf-8')
    with (folder / 'comparison.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows).savefig(folder / 'comparison.png', dpi=120, metadata={'Software': None})


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy against trainable parameters, a dot a method, with its deviation."""
    figure = Figure(figsize=(6.4, 4.2), layout='constrained')
    axes = figure.subplots()
    for row in rows:
        x, y = float(row['trainable M']), float(row['accuracy %'])
        axes.errorbar(x, y, yerr=float(row['deviation'] or 0), fmt='o', capsize=2, color='#0072B2')
        axes.annotate(row['method'], (x, y), (5, 4), textcoords='offset points', fontsize=8)
    axes.set(xscale='log', xlabel='trainable parameters, millions', ylabel='test accuracy, %')
    axes.margins(x=0.15)
    figures.plain(axes)
    return figure
