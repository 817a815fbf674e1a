"""Eight virtual devices, and two processes, give the loss curve of one device."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parents[1]

FIT = """
import json, os, pathlib, sys
import jax
jax.config.update('jax_compilation_cache_dir', sys.argv[2])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
if 'PROCESS' in os.environ:
    jax.distributed.initialize('127.0.0.1:' + os.environ['PORT'], 2, int(os.environ['PROCESS']))
import small
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan
built = small.build(geometry={'hold_statistics': False})
variables, chosen = small.start(built)
folder = pathlib.Path(sys.argv[1])
fitted = fit(small.recipe(built), variables, chosen, small.splits(), TrainingPlan(3, 8), folder)
print(jax.device_count(), 'devices', flush=True)
"""


def assert_same_curve(found: list[float], expected: list[float]) -> None:
    """Equal but for the order of sums, whose rounding a few steps multiply."""
    np.testing.assert_allclose(found[:1], expected[:1], rtol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=5e-3)


def launch(folder: pathlib.Path, cache: pathlib.Path, **environment: str) -> subprocess.Popen:
    paths = f'{HERE}{os.pathsep}{HERE.parent}'
    return subprocess.Popen(
        [sys.executable, '-c', FIT, str(folder), str(cache)],
        env={**os.environ, 'PYTHONPATH': paths, 'JAX_PLATFORMS': 'cpu', **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def losses(folder: pathlib.Path) -> list[float]:
    lines = (folder / 'metrics.jsonl').read_text().splitlines()
    return [json.loads(line)['train_loss'] for line in lines]


@pytest.fixture(scope='module')
def one_device(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, list[float]]:
    """The compilation cache, and the losses of one device."""
    folder = tmp_path_factory.mktemp('one')
    assert finish(launch(folder / 'run', folder / 'cache')) == '1 devices\n'
    return folder / 'cache', losses(folder / 'run')


@pytest.mark.slow
def test_eight_devices_give_the_curve_of_one(one_device: tuple, tmp_path: pathlib.Path) -> None:
    cache, expected = one_device
    out = finish(launch(tmp_path, cache, JAX_NUM_CPU_DEVICES='8'))
    assert out == '8 devices\n'
    assert_same_curve(losses(tmp_path), expected)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(one_device: tuple, tmp_path: pathlib.Path) -> None:
    cache, expected = one_device
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    processes = [launch(tmp_path, cache, PROCESS=str(i), PORT=port) for i in range(2)]
    # The transport prints a line of its own before.
    assert all(finish(process).endswith('2 devices\n') for process in processes)
    assert_same_curve(losses(tmp_path), expected)
    assert len(losses(tmp_path)) == 3
