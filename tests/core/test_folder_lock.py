"""One process in a folder at a time; the second is told who the first is."""

import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.folder_lock import NAME, Owner, lock

HOLD = """
import pathlib, sys
from point_ft_jax.core.folder_lock import lock
held = lock(pathlib.Path(sys.argv[1]), print)
print('held', flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holding(folder: pathlib.Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the folder."""
    command = [sys.executable, '-c', HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def left_by(where: pathlib.Path, **changes: object) -> None:
    """The file that a process left there which can't have removed it."""
    owner = dataclasses.replace(Owner.of(where), **changes)
    (where / NAME).write_text(json.dumps(dataclasses.asdict(owner)))


def test_the_second_is_told_who_holds_a_folder_and_since_when(tmp_path: pathlib.Path) -> None:
    with holding(tmp_path) as other, pytest.raises(UserError) as error:
        lock(tmp_path, print)
    expected = f'{tmp_path} is in use by process {other.pid} on {socket.gethostname()}, since 20'
    assert str(error.value).startswith(expected)
    assert 'give another folder (--config.folder)' in str(error.value)


def test_the_lock_of_a_killed_process_is_taken_over_with_a_word(tmp_path: pathlib.Path) -> None:
    said = []
    with holding(tmp_path) as other:
        other.kill()
        other.wait()
        lock(tmp_path, said.append).release()
    [line] = said
    assert line.startswith(f'{tmp_path} was held by process {other.pid} on ')
    assert line.endswith('which has ended: it is taken over')


@pytest.mark.parametrize('change', [{'started': 1}, {'boot': 'another'}])
def test_a_number_that_is_another_process_by_now_holds_nothing(
    tmp_path: pathlib.Path, change: dict
) -> None:
    left_by(tmp_path, **change)
    said = []
    lock(tmp_path, said.append).release()
    assert len(said) == 1


def test_a_running_process_holds_a_folder_even_where_the_disk_has_no_locks(
    tmp_path: pathlib.Path,
) -> None:
    left_by(tmp_path)
    with pytest.raises(UserError, match=f'in use by process {os.getpid()} on '):
        lock(tmp_path, print)


def test_of_another_host_it_is_said_how_to_end_it(tmp_path: pathlib.Path) -> None:
    left_by(tmp_path, host='elsewhere', process=7)
    with pytest.raises(UserError, match=f'process 7 on elsewhere, .* rm {tmp_path}/{NAME}'):
        lock(tmp_path, print)


def test_what_is_released_is_free_without_a_word(tmp_path: pathlib.Path) -> None:
    said = []
    for _ in range(3):
        lock(tmp_path, said.append).release()
    assert said == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'text', ['', '{', '[1]', '{"host": 3}', pytest.param('[' * 4000, id='deep')]
)
def test_a_file_that_says_nothing_holds_nothing(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    lock(tmp_path, print).release()


def test_a_copy_of_a_folder_that_is_held_is_free(tmp_path: pathlib.Path) -> None:
    left_by(tmp_path, folder=str(tmp_path / 'original'))
    lock(tmp_path, print).release()
