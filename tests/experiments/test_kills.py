"""Kills, signals and full disks at any moment, of jobs of every kind, in processes of their own."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from point_ft_jax.training import metrics_log

HERE = pathlib.Path(__file__).parent
KINDS = (
    *('finetune', 'population', 'cross_validation', 'part_segmentation', 'pretrain', 'robust'),
    'few_shot',
)
KILLS = int(os.environ.get('POINT_FT_JAX_KILLS', '8'))  # of each kind


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Compiled programs, which all processes share."""
    return tmp_path_factory.mktemp('cache')


def start(cache: pathlib.Path, *arguments: object) -> subprocess.Popen:
    """A job in a process of its own."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, (HERE.parent, HERE.parents[1]))),
        'JAX_PLATFORMS': 'cpu',
        'JAX_COMPILATION_CACHE_DIR': str(cache),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
    }
    process = subprocess.Popen(
        [sys.executable, HERE / 'jobs_of_all_kinds.py', *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()


def finish(process: subprocess.Popen) -> str:
    """What a process says on stderr, which ends as it should."""
    _, said = process.communicate(timeout=1800)
    assert process.returncode == 0, said
    return said


def results(folder: pathlib.Path) -> dict[str, object]:
    """All that a job has measured, without what differs between two runs of the same bits."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob(metrics_log.FILE)):
        lines = [{**line, 'timing': None} for line in metrics_log.read(path)]
        found[str(path.relative_to(folder))] = lines
    for path in sorted(folder.rglob('result.json')):
        found[str(path.relative_to(folder))] = list(_measured(json.loads(path.read_text())))
    return found


TIMES = ('cost', 'timing', 'command', 'folder', 'protocol')


def _measured(value: object, path: str = '') -> Iterator[tuple[str, object]]:
    """The numbers of a result by their paths, but costs."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in pairs:
            if name not in TIMES:
                yield from _measured(item, f'{path}/{name}')
    elif isinstance(value, int | float):
        yield path, value


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_a_job_that_is_killed_at_random_moments_ends_as_one_that_is_not(
    kind: str, cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    finish(start(cache, kind, tmp_path / 'undisturbed'))
    expected = results(tmp_path / 'undisturbed')
    began = time.monotonic()
    finish(start(cache, kind, tmp_path / 'again'))
    length = time.monotonic() - began
    assert results(tmp_path / 'again') == expected
    r, kills, runs = random.Random(kind), 0, 0
    while kills < KILLS:
        folder = tmp_path / f'killed_{runs}'
        process = start(cache, kind, folder)
        assert process.stdout.readline() == 'started\n', process.communicate()[1]
        time.sleep(r.uniform(0, 0.7 * length))
        killed = process.poll() is None
        process.kill()
        said = process.communicate()[1]
        assert 'Traceback' not in said, said
        kills += killed
        if not killed or kills == KILLS:  # its run has ended, or is to
            said = finish(start(cache, kind, folder))
            assert 'Traceback' not in said, said
            assert results(folder) == expected
            runs += 1
    print(f'{kind}: {kills} kills of {runs} runs')


@pytest.mark.slow
def test_a_closed_terminal_saves_and_the_same_command_goes_on(
    cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    finish(start(cache, 'finetune', tmp_path / 'undisturbed'))
    process = start(cache, 'finetune', tmp_path / 'stopped')
    while not (tmp_path / 'stopped' / 'seed_0' / metrics_log.FILE).exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGHUP)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 128 + signal.SIGHUP, said
    assert 'the state is saved; give the same command again to go on' in said
    finish(start(cache, 'finetune', tmp_path / 'stopped'))
    assert results(tmp_path / 'stopped') == results(tmp_path / 'undisturbed')


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_that_does_not_train_ends_at_a_signal_in_one_line(
    number: int, cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    finish(start(cache, 'finetune', tmp_path / 'run'))
    run = tmp_path / 'run'
    for delay in (0.0, 2.0, 6.0):
        process = start(cache, 'corruptions', tmp_path / f'{delay}', run)
        assert process.stdout.readline() == 'started\n'
        time.sleep(delay)
        process.send_signal(number)
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 128 + number, said
        assert f'error: interrupted ({signal.Signals(number).name})' in said
        assert 'Traceback' not in said
        assert 'Fatal' not in said
        assert not (tmp_path / f'{delay}' / '.lock').exists()


@pytest.mark.slow
def test_the_second_run_in_a_folder_is_told_of_the_first(
    cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = start(cache, 'finetune', tmp_path)
    while not (tmp_path / '.lock').exists():
        time.sleep(0.05)
        assert first.poll() is None, first.communicate()
    second = start(cache, 'finetune', tmp_path)
    said = second.communicate(timeout=600)[1]
    assert second.returncode == 2
    assert f'{tmp_path} is in use by process {first.pid} on ' in said
    finish(first)


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A disk of its own of 1.5 MB, where this user may make one."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', disk])
    if made.returncode:
        pytest.skip('mounting a small disk needs root')
    yield disk
    subprocess.run(['umount', disk], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_in_one_message_and_with_room_the_run_goes_on(
    small_disk: pathlib.Path, cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    finish(start(cache, 'finetune', tmp_path / 'undisturbed'))
    process = start(cache, 'finetune', small_disk / 'run')
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 1, said
    assert said.count('error:') == 1
    assert 'since the disk is full' in said
    assert 'Traceback' not in said
    for how, words in (('ro', 'the disk can only be read'), ('rw,size=100m', '')):
        subprocess.run(['mount', '-o', f'remount,{how}', small_disk], check=True)
        process = start(cache, 'finetune', small_disk / 'run')
        said = process.communicate(timeout=600)[1]
        assert 'Traceback' not in said, said
        assert words in said
    assert process.returncode == 0, said
    assert results(small_disk / 'run') == results(tmp_path / 'undisturbed')
