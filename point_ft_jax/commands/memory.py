"""Training memory against the batch size, method by method: the figure of the DAPT paper.

point-ft memory --out=docs/memory
    full fine-tuning, IDPT and DAPT of the 22.1M Point-MAE, by XLA's analysis of the compiled step
point-ft memory --method=all --batch=32 --memory=all
    every method at one size, in each mode of train.memory, with its operations
point-ft memory --backbone=all --method=full,dapt --batch=32 --memory=all
    the same of every backbone
point-ft memory --target=H200 --method=stag,pointgst,idpt,dapt --batch=32
    by the compiler of a chip that is not at hand: pip install 'point_ft_jax[aot-gpu]', of TPUs
    'point_ft_jax[aot-tpu]'

Memory is what the compiled step takes: its arguments, its temporaries and those outputs that do not
take the place of an argument. Where the device keeps count (a GPU), a step runs in a process of its
own, and its allocator's peak stands beside XLA's figure.
"""

import argparse
import csv
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from kernels import aot
from kernels.aot_targets import TARGETS, environment
from point_ft_jax.commands import benchmark
from point_ft_jax.core import flags, plugins, trees
from point_ft_jax.core.devices import compiler_options
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import command_line
from point_ft_jax.models import create_model, model
from point_ft_jax.models.build import compute_type, known
from point_ft_jax.models.recomputation import MEMORY
from point_ft_jax.reports import figures, tables
from point_ft_jax.training import costs
from point_ft_jax.training import step as train
from point_ft_jax.training.population import Population, step_population

PEAK = 'peak_bytes_in_use'  # of the devices' memory_stats()
MARKS = 'os^Dvx*P'
STYLES = {'fast': '-', 'balanced': '--', 'least': ':'}


def step_memory(case: Mapping[str, Any], device: jax.Device | None = None) -> dict[str, float]:
    """The bytes of one training step, by kind, and its operations; nothing is allocated.

    Args:
        case: 'backbone', 'method', 'variant', 'geometry', 'batch', 'points', 'compute', 'memory'
            and, if not float32, 'frozen_dtype'.
        device: what to compile for; see `costs.step_memory`.

    Returns:
        'arguments', 'temporaries' and 'total', and 'flops', recomputation included.
    """
    built, recipe = _build(case)
    return costs.step_memory(built, recipe, case['batch'], device=device)


def _build(case: Mapping[str, Any]) -> tuple[model.Model, train.Recipe]:
    geometry = known(case['backbone'], case['geometry'])
    geometry |= {'memory': case['memory']}
    built = create_model(
        case['backbone'],
        15,
        variant=case['variant'],
        method=case['method'],
        geometry=geometry,
        dtype=case['compute'],
    )
    recipe = benchmark.make_recipe(built, case['points'])
    frozen_dtype = compute_type(case.get('frozen_dtype', 'float32'))
    return built, dataclasses.replace(recipe, frozen_dtype=frozen_dtype)


def allocator_peak(case: Mapping[str, Any]) -> int | None:
    """The peak of a device's allocator over one training step, in this process, in bytes."""
    built, recipe = _build(case)
    variables = built.init(jax.random.key(0))
    trainable = trees.select(variables['params'], built.trainable)
    moving, frozen = trees.partition(variables['params'], trainable)
    state = train.start(recipe, moving, variables['batch_stats'])
    points = np.random.default_rng(0).standard_normal((case['batch'], case['points'], 3))
    labels = jnp.zeros(case['batch'], jnp.int32)
    population = Population.of_one()
    step = jax.jit(
        lambda *args: step_population(recipe, *args),
        donate_argnums=1,
        compiler_options=compiler_options(),
    )
    jax.block_until_ready(step(population, state, frozen, points.astype(np.float32), labels))
    return (jax.devices()[0].memory_stats() or {}).get(PEAK)


def measure(case: Mapping[str, Any], device: jax.Device | None = None) -> dict[str, Any]:
    """A row of the table, in MiB."""
    found = step_memory(case, device)
    flops = found.pop('flops')
    row = {
        'backbone': case['backbone'],
        'method': case['method'],
        'memory': case['memory'],
        'batch': case['batch'],
        **{f'{kind} MiB': round(value / 2**20) for kind, value in found.items()},
        'temporaries MiB/cloud': round(found['temporaries'] / 2**20 / case['batch'], 1),
        'GFLOP': round(flops / 1e9, 1),
    }
    if device is None and PEAK in (jax.devices()[0].memory_stats() or {}):
        command = [sys.executable, '-m', 'point_ft_jax', 'memory', '--peak', json.dumps(dict(case))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # A step that does not fit has no peak.
        row['peak MiB'] = round(int(done.stdout) / 2**20) if done.returncode == 0 else 'none'
    return row


def device_of(target: str) -> jax.Device:
    """A chip of TARGETS to compile for, which can't run anything; UserError without its compiler.

    Called before this process has used JAX, whose platform it sets.
    """
    chip = TARGETS[target]
    if not aot.versions(chip.platform):
        extra = {'tpu': 'aot-tpu', 'cuda': 'aot-gpu'}[chip.platform]
        raise UserError(
            f'--target={target}: {aot.COMPILERS[chip.platform]} is not installed; '
            f"pip install 'point_ft_jax[{extra}]'"
        )
    os.environ.update(environment(chip.platform))
    jax.config.update('jax_platforms', 'cpu')
    # A program for a chip that is not at hand can be kept on disk, but not be read again.
    jax.config.update('jax_enable_compilation_cache', False)
    return chip.devices()[0]


def write(folder: pathlib.Path, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Writes memory.csv and memory.png: GiB against the batch size, a line a method."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'memory.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    figure = Figure(figsize=(6, 4), layout='constrained')
    axes = figure.subplots()
    lines = list(dict.fromkeys(_line(row) for row in rows))
    for number, line in enumerate(lines):
        mine = [row for row in rows if _line(row) == line]
        axes.plot(
            [row['batch'] for row in mine],
            [row['total MiB'] / 1024 for row in mine],
            marker=MARKS[number % len(MARKS)],
            linestyle=STYLES[line[-1]],
            label=', '.join(line),
        )
    axes.set(xscale='log', yscale='log', xlabel='batch size', ylabel='training memory, GiB')
    sizes = sorted({row['batch'] for row in rows})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_title(title, fontsize=10, loc='left')
    figures.clear_frame(axes)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / 'memory.png', dpi=120, metadata={'Software': None})


def _line(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the rows of one line of the picture have in common."""
    return row['backbone'], row['method'], row['memory']


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('memory', __doc__)
    parser.add_argument('--backbone', default='point_mae', help='names, or all')
    parser.add_argument('--method', default='full,idpt,dapt', help='names joined by commas, or all')
    parser.add_argument('--batch', default='8,16,32,64,128,256,512', help='joined by commas')
    parser.add_argument('--memory', default='fast', choices=[*MEMORY, 'all'])
    parser.add_argument('--variant', default='base')
    parser.add_argument('--points', type=int, default=2048)
    parser.add_argument('--num_groups', type=int, default=128)
    parser.add_argument('--group_size', type=int, default=32)
    parser.add_argument('--compute', default='float32', choices=['float32', 'bfloat16'])
    parser.add_argument('--frozen_dtype', default='float32', choices=['float32', 'bfloat16'])
    parser.add_argument('--target', choices=TARGETS, help='a chip to compile for; this machine')
    parser.add_argument('--out', help='a folder for memory.csv and memory.png')
    parser.add_argument('--peak', type=json.loads, help=argparse.SUPPRESS)
    options = vars(parser.parse_args(arguments))
    target = options.pop('target')
    device = device_of(target) if target else None
    command_line.start()
    out, peak = options.pop('out'), options.pop('peak')
    if out:
        command_line.check_folder(out)
    options['geometry'] = {name: options.pop(name) for name in ('num_groups', 'group_size')}
    if peak:
        print(allocator_peak(peak))
        return
    batches = command_line.numbers('--batch', options.pop('batch'))
    names = {
        kind: plugins.available(kind) if (given := options.pop(key)) == 'all' else given.split(',')
        for key, kind in (('backbone', 'backbones'), ('method', 'methods'))
    }
    choices = MEMORY if options['memory'] == 'all' else (options['memory'],)
    rows = []
    for backbone, method, kept, batch in itertools.product(*names.values(), choices, batches):
        one = {'backbone': backbone, 'method': method, 'memory': kept, 'batch': batch}
        rows.append(measure({**options, **one}, device))
        print(tables.text(rows[-1:]), file=sys.stderr, flush=True)
    print(tables.markdown(rows))
    if out:
        where = f', by the compiler for {target}' if target else ''
        title = f'{options["points"]:,} points, {options["compute"]}{where}'
        write(pathlib.Path(out), rows, title)
        print(command_line.written(out, 'memory.csv, memory.png'))
