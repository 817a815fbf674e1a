"""Measures the point operations on this machine, at the models' shapes.

python -m kernels.bench
    every named shape at batches of 32 and 128
python -m kernels.bench --only='fps 1024' --batch=32 --rounds=30
    one of them

Backends and, where they are installed, torch, fpsample and scipy's KD-tree take turns, round by
round, after three warm-ups; on a GPU also a plain CUDA kernel of the classical design, which is
built here with nvcc; its rounds follow the others', by CUDA's clock. What is not installed is left
out, and named. Printed are medians, their ratio to the backend that is picked for this
machine ('auto'), and the share of picks that are right in two clouds: a farthest point, or a
neighbour at a nearest distance, up to 1e-5 of it. On an accelerator a time is that of one call of a
hundred in a loop on the device, so that what a launch costs does not count.
"""

import argparse
import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kernels import aot_table, bench_peers, farthest_point_sample, gather_points, knn
from kernels.cases import BATCHES, CASES

WARM_UPS = 3
IN_A_LOOP = 100  # calls, on an accelerator
H200_STEP = 0.25e-6  # seconds that one dependent step takes at least
H200_RATE = 33.4e12  # operations of a lane a second
Run = Callable[[], np.ndarray]


def clouds(batch: int, size: int) -> np.ndarray:
    """Random clouds on the unit sphere, where no point is near the origin."""
    points = np.random.default_rng(0).standard_normal((batch, size, 3)).astype(np.float32)
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def compiled(function: Callable[..., jax.Array], *arrays: np.ndarray) -> tuple[Run, int]:
    """A function that runs `function` on the device, and how many times it does."""
    arguments = [jnp.asarray(a) for a in arrays]
    if jax.default_backend() == 'cpu':
        run = jax.jit(function).lower(*arguments).compile()
        return lambda: np.asarray(run(*arguments)), 1

    def looped(*arguments: jax.Array) -> jax.Array:
        def again(_: int, last: jax.Array) -> jax.Array:
            # Each call waits for the one before, and none can be moved out of the loop.
            return function(*jax.lax.optimization_barrier((arguments, last))[0])

        return jax.lax.fori_loop(1, IN_A_LOOP, again, function(*arguments))

    run = jax.jit(looped).lower(*arguments).compile()
    return lambda: np.asarray(run(*arguments)), IN_A_LOOP


def interleaved(runs: dict[str, Run], rounds: int, seconds: float) -> dict[str, float]:
    """The median seconds of each, taking turns; fewer rounds, 3 at least, after `seconds`."""
    for run in runs.values():
        for _ in range(WARM_UPS):
            run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for turn in range(rounds):
        if turn >= 3 and time.perf_counter() - begin > seconds:
            break
        for name, run in runs.items():
            since = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - since)
    return {name: statistics.median(values) for name, values in taken.items()}


def right_picks(points: np.ndarray, picks: np.ndarray) -> float:
    """The share of picks [B, G] that are farthest points of clouds [B, N, 3], except the first."""
    right = []
    for cloud, indices in zip(points.astype(np.float64), picks, strict=True):
        nearest = np.full(len(cloud), np.inf)
        for last, index in itertools.pairwise(indices):
            nearest = np.minimum(nearest, ((cloud - cloud[last]) ** 2).sum(-1))
            right.append(nearest[index] >= nearest.max() * (1 - 1e-5))
    return float(np.mean(right))


def right_neighbours(queries: np.ndarray, points: np.ndarray, indices: np.ndarray) -> float:
    """The share of neighbours [B, G, K] that are as near as the true ones in their order."""
    right = []
    for asked, cloud, found in zip(queries, points.astype(np.float64), indices, strict=True):
        distances = ((asked[:, None].astype(np.float64) - cloud) ** 2).sum(-1)
        nearest = np.sort(distances, axis=1)[:, : found.shape[1]]
        taken = np.take_along_axis(distances, found, axis=1)
        right.append(np.abs(taken - nearest) <= 1e-5 * nearest + 1e-12)
    return float(np.mean(right))


def measure_fps(batch: int, size: int, samples: int, rounds: int, seconds: float) -> list[dict]:
    """The table's rows of one shape of sampling."""
    points = clouds(batch, size)
    device = jax.default_backend()
    runs, times = {}, {}
    for backend in ('auto', 'xla', 'reference'):
        sample = functools.partial(farthest_point_sample, num_samples=samples, backend=backend)
        runs[backend], times[backend] = compiled(sample, points)
    peers = bench_peers.fps_peers(points, samples, gpu=device == 'gpu')
    runs |= {name: run for name, run in peers.items() if run}
    medians = interleaved(runs, rounds, seconds)
    medians = {name: value / times.get(name, 1) for name, value in medians.items()}
    right = {name: right_picks(points[:2], run()[:2]) for name, run in runs.items()}
    if device == 'gpu' and (classic := bench_peers.classic_cuda(points, samples, rounds)):
        right['classical CUDA'] = right_picks(points[:2], classic[0][:2])
        medians['classical CUDA'] = statistics.median(classic[1])
    rows = _rows(f'fps {size} to {samples}, batch {batch}', medians, right)
    if device == 'gpu':
        floor = max(samples * H200_STEP, 14 * batch * size * samples / H200_RATE)
        rows = [row | {"to an H200's floor": f'{row["seconds"] / floor:.1f}'} for row in rows]
    return rows


def measure_knn(
    batch: int, size: int, groups: int, k: int, rounds: int, seconds: float
) -> list[dict]:
    """The table's rows of one shape of neighbours."""
    points = clouds(batch, size)
    queries = np.array(gather_points(points, farthest_point_sample(points, groups)))
    device = jax.default_backend()
    runs, times = {}, {}
    for backend in ('auto', 'xla'):
        find = functools.partial(_neighbours, k=k, backend=backend)
        runs[backend], times[backend] = compiled(find, queries, points)
    peers = bench_peers.knn_peers(queries, points, k, gpu=device == 'gpu')
    runs |= {name: run for name, run in peers.items() if run}
    medians = interleaved(runs, rounds, seconds)
    medians = {name: value / times.get(name, 1) for name, value in medians.items()}
    right = {n: right_neighbours(queries[:2], points[:2], run()[:2]) for n, run in runs.items()}
    return _rows(f'knn {groups} x {k} of {size}, batch {batch}', medians, right)


def _neighbours(queries: jax.Array, points: jax.Array, k: int, backend: str) -> jax.Array:
    return knn(queries, points, k, backend=backend)[1]


def _rows(shape: str, medians: dict[str, float], right: dict[str, float]) -> list[dict]:
    return [
        {
            'shape': shape,
            'by': name,
            'ms': f'{1e3 * seconds:.3f}',
            'to auto': f'{seconds / medians["auto"]:.2f}',
            'right': f'{right[name]:.4f}',
            'seconds': seconds,
        }
        for name, seconds in medians.items()
    ]


def shapes(batches: Sequence[int]) -> dict[str, Callable[..., list[dict]]]:
    """What can be measured, by name."""
    operations = sorted({o for case in CASES.values() for o in case.operations()})
    found = {}
    for batch in batches:
        for size, groups, k in operations:
            found[f'fps {size} to {groups}, batch {batch}'] = functools.partial(
                measure_fps, batch, size, groups
            )
            found[f'knn {groups} x {k} of {size}, batch {batch}'] = functools.partial(
                measure_knn, batch, size, groups, k
            )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m kernels.bench',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--only', action='append', help='a part of the name of a shape')
    parser.add_argument('--batch', type=int, action='append', help='by default 32 and 128')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--seconds', type=float, default=20.0, help='a shape, about')
    options = parser.parse_args(arguments)
    if min(options.rounds, *(options.batch or BATCHES)) < 1:
        parser.error('--rounds and --batch are numbers from 1 on')
    named = shapes(options.batch or BATCHES)
    chosen = {n: f for n, f in named.items() if any(o in n for o in options.only or [''])}
    if not chosen:
        parser.error('no such shape; there are\n' + '\n'.join(named))
    device = jax.devices()[0].device_kind
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(f'{device}, {cores} cores of the host, load {load:.1f}; jax {jax.__version__}')
    missing = bench_peers.missing(gpu=jax.default_backend() == 'gpu')
    print(f'left out: {", ".join(missing)}\n' if missing else '')
    for measure in chosen.values():
        rows = measure(rounds=options.rounds, seconds=options.seconds)
        shown = [{c: v for c, v in row.items() if c != 'seconds'} for row in rows]
        print(aot_table.table(shown) + '\n', flush=True)


if __name__ == '__main__':
    main()
