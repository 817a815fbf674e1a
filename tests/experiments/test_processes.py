"""Runs of several processes: who finds whom, stops, resumes, and what is said when one is lost."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from point_ft_jax.core import processes
from point_ft_jax.core.errors import UserError

HERE = pathlib.Path(__file__).parents[1]

RUN = """
import os, pathlib, sys
from point_ft_jax.experiments import command_line
def run():
    command_line.start()
    from small import tiny
    from point_ft_jax.experiments.jobs import finetune
    changes = {'train.epochs': int(sys.argv[2]), 'train.batch_size': 12}
    if len(sys.argv) > 3 and os.environ.get('JAX_PROCESS_ID') == '1':
        changes['optim.lr'] = float(sys.argv[3])
    finetune.run(tiny(pathlib.Path(sys.argv[1]), **changes), 'run')
command_line.guarded(run)
"""


def launch(
    folder: pathlib.Path, cache: pathlib.Path, count: int, epochs: int, *more: object
) -> list[subprocess.Popen]:
    """The processes of a run, on this machine; `more` is a learning rate of process 1."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]

    def one(index: int) -> subprocess.Popen:
        named = {
            processes.ADDRESS: f'127.0.0.1:{port}',
            processes.COUNT: str(count),
            processes.ID: str(index),
            processes.HEARTBEAT: '10',
        }
        return subprocess.Popen(
            [sys.executable, '-c', RUN, str(folder), str(epochs), *map(str, more)],
            env={
                **os.environ,
                'PYTHONPATH': f'{HERE}{os.pathsep}{HERE.parent}',
                'JAX_PLATFORMS': 'cpu',
                'JAX_COMPILATION_CACHE_DIR': str(cache),
                'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3',
                **(named if count > 1 else {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    STARTED.extend(runs := [one(index) for index in range(count)])
    return runs


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()


def finish(runs: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """The status of each, and what it said on stderr."""
    said = [run.communicate(timeout=900)[1] for run in runs]
    return [(run.returncode, text) for run, text in zip(runs, said, strict=True)]


def epochs_done(folder: pathlib.Path) -> list[float]:
    """The training loss of every epoch so far."""
    file = folder / 'seed_0' / 'metrics.jsonl'
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)['train_loss'] for line in lines]


def wait_for_epochs(folder: pathlib.Path, count: int, runs: list[subprocess.Popen]) -> None:
    until = time.monotonic() + 900
    while len(epochs_done(folder)) < count:
        assert time.monotonic() < until
        assert all(run.poll() is None for run in runs), finish(runs)
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_to_one_stops_and_saves_all_and_other_numbers_go_on(
    tmp_path: pathlib.Path,
) -> None:
    """Stopped with 4 processes, then with 2, ended by 1; the curve is that of one alone."""
    cache, folder, epochs = tmp_path / 'cache', tmp_path / 'run', 60
    assert [status for status, _ in finish(launch(tmp_path / 'one', cache, 1, epochs))] == [0]
    for count, number in ((4, signal.SIGTERM), (2, signal.SIGINT)):
        runs = launch(folder, cache, count, epochs)
        wait_for_epochs(folder, len(epochs_done(folder)) + 2, runs)
        runs[-1].send_signal(number)
        for status, text in finish(runs):
            assert status == 128 + number, text
            assert 'the state is saved; give the same command again to go on' in text
    done = len(epochs_done(folder))
    assert 4 <= done < epochs
    assert [status for status, _ in finish(launch(folder, cache, 1, epochs))] == [0]
    found, expected = epochs_done(folder), epochs_done(tmp_path / 'one')
    assert len(found) == epochs  # one writer: no epoch is there twice
    assert (folder / 'report.md').exists()
    np.testing.assert_allclose(found[:6], expected[:6], rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize('number', [0, 1])
def test_a_lost_process_ends_the_others_with_a_message(tmp_path: pathlib.Path, number: int) -> None:
    runs = launch(tmp_path / 'run', tmp_path / 'cache', 2, 100_000)
    wait_for_epochs(tmp_path / 'run', 2, runs)
    runs[number].kill()
    since = time.monotonic()
    status, text = finish(runs)[1 - number]
    assert time.monotonic() - since < 60
    assert status == 1, text
    assert f'error: process {number} of this run has ended' in text
    assert 'Give the same command again on all hosts' in text
    assert 'Traceback' not in text


@pytest.mark.slow
def test_processes_with_other_configs_do_not_train_together(tmp_path: pathlib.Path) -> None:
    for status, text in finish(launch(tmp_path / 'run', tmp_path / 'cache', 2, 2, 0.125)):
        assert status == 2, text
        assert 'the processes of this run would not do the same' in text
        assert '- config.optim.lr: 0.0005 in process 0, 0.125 in process 1' in text
        assert 'Traceback' not in text
    assert not (tmp_path / 'run' / 'seed_0').exists()


@pytest.mark.slow
def test_kills_of_any_process_for_minutes_leave_the_metrics_of_an_undisturbed_run(
    tmp_path: pathlib.Path,
) -> None:
    """POINT_FT_JAX_KILL_SECONDS says for how long, and _EPOCHS of how long a run.

    Each time one of the two is killed: while they start, or after an epoch was finished.
    """
    epochs = int(os.environ.get('POINT_FT_JAX_KILL_EPOCHS', '400'))
    cache, r, kills = tmp_path / 'cache', random.Random(0), [0, 0]
    assert [status for status, _ in finish(launch(tmp_path / 'one', cache, 2, epochs))] == [0, 0]
    until = time.monotonic() + float(os.environ.get('POINT_FT_JAX_KILL_SECONDS', '120'))
    while time.monotonic() < until and len(epochs_done(tmp_path / 'run')) < epochs:
        runs, number = launch(tmp_path / 'run', cache, 2, epochs), r.randrange(2)
        done, waits = len(epochs_done(tmp_path / 'run')), r.random() < 0.7
        while waits and len(epochs_done(tmp_path / 'run')) == done:
            time.sleep(0.1)
            if any(run.poll() is not None for run in runs):
                break
        time.sleep(r.uniform(0, 2 if waits else 15))
        kills[number] += runs[number].poll() is None
        runs[number].kill()
        finish(runs)
    assert [status for status, _ in finish(launch(tmp_path / 'run', cache, 2, epochs))] == [0, 0]
    print(f'kills of process 0 and of process 1: {kills}')
    assert min(kills) > 0
    assert epochs_done(tmp_path / 'run') == epochs_done(tmp_path / 'one')


@pytest.mark.parametrize(
    ('variables', 'message'),
    [
        ({processes.ADDRESS: 'a:1'}, f'  - {processes.COUNT} is not set\n'),
        ({processes.COUNT: '2'}, f'  - {processes.ADDRESS} is not set\n  - {processes.ID} is not'),
        (
            {processes.ADDRESS: 'a:1', processes.COUNT: '2', processes.ID: '2'},
            f'{processes.ID} is 2; expected 0 to 1, since {processes.COUNT} is 2',
        ),
        (
            {processes.ADDRESS: 'a:1', processes.COUNT: 'two', processes.ID: '0'},
            f"{processes.COUNT} is 'two'; expected a whole number from 1 on",
        ),
        (
            {processes.HOSTS: 'auto', processes.HEARTBEAT: '0'},
            f"{processes.HEARTBEAT} is '0'; expected a whole number from 1 on",
        ),
    ],
)
def test_what_the_environment_lacks_is_said(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        processes.join()
    assert message in str(error.value)


def test_one_process_joins_nobody() -> None:
    processes.join()
    assert not processes.several()
