"""Measures backbones and methods on this machine: time, FLOPs, memory, share of the product rate.

point-ft benchmark
    DAPT, linear probing and full fine-tuning of the 22.1M ReCon at the paper's size
point-ft benchmark --backbone=all --method=full
    the throughput of every backbone
point-ft benchmark --population=8 --variant=tiny --points=1024 --num_groups=32
    a step of eight members in one program, against eight steps of one

point-ft benchmark --against=torch --cores=1 --batch=8
    DAPT, linear probing and full fine-tuning beside the same models in plain PyTorch, which has to
    be installed (pip install torch); `--method=idpt` and `--backbone=point_m2ae` can be too

Programs take turns, round by round, and medians are printed; of the comparison with PyTorch the
lowest and the highest too. The share is the program's FLOP rate (its own FLOPs, by XLA) over that
of the fastest 4096 x 4096 float32 matrix product of the same run, whichever library computed it.
The limit beside PyTorch is what the ratio would be if the program ran at that product's rate.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.commands import _products
from point_ft_jax.core import flags, plugins, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import command_line
from point_ft_jax.models import create_model, model
from point_ft_jax.models.build import known
from point_ft_jax.reports import tables
from point_ft_jax.training import costs, loop, optimizer, schedules, step
from point_ft_jax.training.costs import Program, compile_program
from point_ft_jax.training.population import Member, Population, start_training

Seconds = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with random weights, and a batch of random clouds.

    Attributes:
        built: the model.
        variables: its weights.
        trainable: a tree of bools: what trains.
        split: the batch, as a training split.
        recipe: the training step.
    """

    built: model.Model
    variables: Variables
    trainable: trees.Tree
    split: Split
    recipe: step.Recipe


def make_case(
    backbone: str, method: str, variant: str, batch: int, points: int, compute: str, **geometry: Any
) -> Case:
    """The case of a backbone and a method; `batch` clouds of `points` points."""
    built = create_model(
        backbone,
        15,
        variant=variant,
        method=method,
        geometry=known(backbone, geometry),
        dtype=compute,
    )
    variables = built.init(jax.random.key(0))
    r = np.random.default_rng(0)
    clouds = r.standard_normal((batch, points, 3)).astype(np.float32)
    clouds /= np.linalg.norm(clouds, axis=-1, keepdims=True)
    labels = (np.arange(batch) % 15).astype(np.int32)
    return Case(
        built,
        variables,
        trees.select(variables['params'], built.trainable),
        Split(clouds, labels, tuple(map(str, range(15)))),
        make_recipe(built, points),
    )


def training_step(case: Case, members: Sequence[Member], own_clouds: bool = True) -> Program:
    """A training step of one member or, in one program, of several."""
    split = case.split
    population = Population.of(members, case.recipe.module, own_clouds)
    starts = [case.variables] * len(members)
    training = start_training(case.recipe, population, starts, case.trainable, steps=1)
    order = population.epoch_order(0, len(split), len(split))
    since = time.perf_counter()
    advance, cost = loop.compile_epoch(training, split, order, device_bytes=2**62)
    seconds = time.perf_counter() - since
    flops = costs.step_flops(training, split, order[0])
    latest = [training]

    def run() -> None:
        latest[0] = advance(latest[0], order, 0, 1)
        jax.block_until_ready(latest[0].state)

    return Program(run, flops, cost, seconds)


def programs(case: Case) -> tuple[dict[str, Program], dict[str, int]]:
    """A training step and a forward pass of a model, and its parameter counts."""
    clouds = jnp.asarray(case.split.points)
    found = {
        'train': training_step(case, [Member()]),
        'forward': compile_program(case.built.module.apply, case.variables, clouds),
    }
    weights = case.variables['params']
    moving, _ = trees.partition(weights, case.trainable)
    return found, {'parameters': trees.count(weights), 'trainable': trees.count(moving)}


def make_recipe(built: model.Model, points: int, mesh: Mesh | None = None) -> step.Recipe:
    """The papers' training step, but for a constant rate; on all devices where there is no mesh."""
    schedule = schedules.make_schedule('constant', 5e-4, epochs=1, warmup=0, steps_per_epoch=1)
    return step.Recipe(
        module=built.module,
        tx=optimizer.make(schedule, weight_decay=0.05, undecayed=built.undecayed, clip=10.0),
        schedule=schedule,
        num_points=points,
        augment=augment.named('scale_translate'),
        mesh=mesh or make_mesh(),
    )


CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def interleaved(runs: dict[str, Callable[[], Any]], rounds: int, clock: str = 'wall') -> Seconds:
    """The seconds of each in every round, after one warm-up, taking turns."""
    now = CLOCKS[clock]
    seconds: Seconds = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            since = now()
            run()
            if turn:
                seconds[name].append(now() - since)
    return seconds


def medians(seconds: Seconds) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(
    backbone: str, method: str, rounds: int, batch: int, **options: Any
) -> dict[str, str | float]:
    """A row of the table; see the module's docstring."""
    found, counts = programs(make_case(backbone, method, batch=batch, **options))
    square = _products.products()
    seconds = medians(interleaved({name: p.run for name, p in found.items()} | square, rounds))
    fastest = min(square, key=seconds.__getitem__)
    rate = _products.FLOPS / seconds[fastest]
    row: dict[str, str | float] = {
        'backbone': backbone,
        'method': method,
        'trainable M': f'{counts["trainable"] / 1e6:.3f}',
    }
    for name, program in found.items():
        flops = program.flops
        row |= {
            f'{name} clouds/s': f'{batch / seconds[name]:.1f}',
            f'{name} GFLOP': f'{flops / 1e9:.0f}',
            f'{name} share': f'{flops / seconds[name] / rate:.2f}',
            f'{name} temp MiB': f'{program.cost.get("temporary_bytes", 0) / 2**20:.0f}',
            f'{name} compile s': f'{program.compile_seconds:.1f}',
        }
    return row | {'product GFLOP/s': f'{rate / 1e9:.0f} ({fastest})'}


def measure_population(
    backbone: str, method: str, rounds: int, size: int, **options: Any
) -> dict[str, str]:
    """A row of the table of populations: `size` steps of one over a step of all, and memory."""
    case = make_case(backbone, method, **options)
    members = [Member(seed) for seed in range(size)]
    found = {
        'alone': training_step(case, members[:1]),
        'own clouds': training_step(case, members),
        'shared clouds': training_step(case, members, own_clouds=False),
    }
    square = _products.products()
    seconds = medians(interleaved({name: p.run for name, p in found.items()} | square, rounds))
    rate = _products.FLOPS / min(seconds[name] for name in square)
    row = {'backbone': backbone, 'method': method, 'members': str(size)}
    for name, program in found.items():
        gain = size * seconds['alone'] / seconds[name]
        memory = program.cost.get('temporary_bytes', 0) / 2**20
        row |= {
            f'{name} ms': f'{1000 * seconds[name]:.0f}',
            f'{name} GFLOP': f'{program.flops / 1e9:.1f}',
            f'{name} share': f'{program.flops / seconds[name] / rate:.2f}',
            f'{name} temp MiB': f'{memory:.0f}',
        }
        row |= {} if name == 'alone' else {f'{name} gain': f'{gain:.2f}'}
    return row


def measure_against_torch(
    backbone: str, method: str, rounds: int, batch: int, points: int, clock: str, **options: Any
) -> dict[str, str]:
    """A row of the comparison: a step and a forward pass of ours and of PyTorch's, in turn."""
    import torch

    from point_ft_jax.commands import _torch_models as peers

    case = make_case(backbone, method, batch=batch, points=points, **options)
    found, _ = programs(case)
    groups, size = options['num_groups'], options['group_size']
    make = {
        'recon': lambda: peers.Transformer(method, 15, groups, size),
        'point_mae': lambda: peers.Transformer(method, 15, groups, size),
        'point_m2ae': lambda: peers.Hierarchy(15),
    }
    if backbone not in make or method not in peers.METHODS:
        raise UserError(
            f'there is no {backbone} with {method} in PyTorch here; expected one of '
            f'{", ".join(make)} and of {", ".join(peers.METHODS)}'
        )
    if backbone == 'point_m2ae' and method != 'full':
        raise UserError(f'Point-M2AE in PyTorch has no {method} here; expected full')
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = make[backbone]()
    clouds, labels = torch.from_numpy(case.split.points), torch.from_numpy(case.split.labels).long()
    theirs = {
        'train': peers.training_step(model, clouds, labels),
        'forward': peers.forward_pass(model, clouds),
    }
    square = _products.products()
    seconds = {}
    for name, run in theirs.items():  # apart, so that the one does not wait for the other's data
        turns = {f'{name} ours': found[name].run, f'{name} torch': run}
        seconds |= interleaved(turns, rounds, clock)
    seconds |= interleaved(square, 3, clock)
    middle = medians(seconds)
    rate = _products.FLOPS / min(middle[name] for name in square)
    row = {'backbone': backbone, 'method': method}
    for name in theirs:
        for who in ('ours', 'torch'):
            times = seconds[f'{name} {who}']
            spread = f'{min(times):.2f} to {max(times):.2f}'
            row[f'{name} {who} s'] = f'{middle[f"{name} {who}"]:.2f} ({spread})'
        row[f'{name} ratio'] = f'{middle[f"{name} ours"] / middle[f"{name} torch"]:.2f}'
        row[f'{name} limit'] = f'{found[name].flops / rate / middle[f"{name} torch"]:.2f}'
        row[f'{name} GFLOP'] = f'{found[name].flops / 1e9:.0f}'
        row[f'{name} compile s'] = f'{found[name].compile_seconds:.1f}'
    stored = peers.stored_bytes(model, clouds, labels) / 2**20 / batch
    temporary = found['train'].cost.get('temporary_bytes', 0) / 2**20 / batch
    row |= {'train ours MiB/cloud': f'{temporary:.1f}', 'train torch MiB/cloud': f'{stored:.1f}'}
    for name in square:
        row[f'product {name}'] = f'{_products.FLOPS / middle[name] / 1e9:.0f}'
    return row


def _use_cores(count: int) -> None:
    """Keeps this process, whose threads have not started yet, to so many cores."""
    there = sorted(os.sched_getaffinity(0))
    if count > len(there):
        raise UserError(f'--cores is {count}; this machine lets this process use {len(there)}')
    os.sched_setaffinity(0, there[:count])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('benchmark', __doc__)
    parser.add_argument('--backbone', default='recon', help='names joined by commas, or all')
    parser.add_argument('--method', default='dapt,linear_probe,full', help='names, or all')
    parser.add_argument('--against', choices=['torch'], help='what to compare with')
    parser.add_argument('--cores', type=int, default=0, help='to use; all by default')
    parser.add_argument('--variant', default='base')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--points', type=int, default=2048)
    parser.add_argument('--num_groups', type=int, default=128)
    parser.add_argument('--group_size', type=int, default=32)
    parser.add_argument('--compute', default='float32', choices=['float32', 'bfloat16'])
    parser.add_argument('--rounds', type=int, default=3, help='after one warm-up')
    parser.add_argument(
        '--clock',
        default='wall',
        choices=CLOCKS,
        help="of the comparison: 'cpu' counts the seconds of all threads, hardly what else runs",
    )
    parser.add_argument('--population', type=int, default=1, help='members in one program')
    options = vars(parser.parse_args(arguments))
    for name in ('batch', 'points', 'num_groups', 'group_size', 'rounds', 'population'):
        if options[name] < 1:
            parser.error(f'--{name} is {options[name]}; expected 1 or more')
    against, cores, clock = (options.pop(name) for name in ('against', 'cores', 'clock'))
    if against and not importlib.util.find_spec(against):
        raise UserError('--against=torch needs PyTorch: pip install torch')
    if cores:
        _use_cores(cores)
    command_line.start()
    chosen = {
        kind: plugins.available(kind) if (names := options.pop(key)) == 'all' else names.split(',')
        for key, kind in (('backbone', 'backbones'), ('method', 'methods'))
    }
    size = options.pop('population')
    run = functools.partial(measure_population, size=size) if size > 1 else measure
    if against:
        run = functools.partial(measure_against_torch, clock=clock)
    rows = []
    for backbone in chosen['backbones']:
        for method in chosen['methods']:
            rows.append(run(backbone, method, **options))
            print(tables.text(rows[-1:]), file=sys.stderr, flush=True)
    device = jax.devices()[0]
    print(f'{device.device_kind} x {jax.device_count()}, jax {jax.__version__}')
    if size > 1:
        print(f'\n{tables.markdown(rows)}')
        return
    if against:
        print(f'torch {importlib.metadata.version(against)}, {len(os.sched_getaffinity(0))} cores')
    for part in ('train', 'forward'):
        other = 'forward ' if part == 'train' else 'train '
        print(
            f'\n{tables.markdown([{k: v for k, v in r.items() if other not in k} for r in rows])}'
        )
