"""Full, read-only and failing disks: one message, and what is safe."""

import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tensorboardX.event_file_writer import EventsWriter

from point_ft_jax.checkpoints.store import CheckpointStore
from point_ft_jax.core import disk
from point_ft_jax.training import metrics_log

TREE = {'a': np.arange(3.0, dtype=np.float32)}


@pytest.mark.parametrize(
    ('number', 'words'),
    [
        (errno.ENOSPC, 'the disk is full'),
        (errno.EROFS, 'the disk can only be read'),
        (errno.EIO, 'the disk failed'),
        (errno.EDQUOT, 'the quota of this disk is used up'),
    ],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    with CheckpointStore(tmp_path) as store:
        store.save(1, TREE, {})

        def fails(_: pathlib.Path) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(disk, 'sync_all', fails)
        with pytest.raises(disk.DiskError, match=rf'since {words}.*{tmp_path}/1 is whole: make'):
            store.save(2, TREE, {})
        monkeypatch.undo()
        assert store.step() == 1
        np.testing.assert_array_equal(store.restore(TREE)[0]['a'], TREE['a'])
        store.save(2, TREE, {})
        assert store.steps() == [2]


def test_an_error_of_a_library_in_c_is_known_by_its_words() -> None:
    error = ValueError(
        'RESOURCE_EXHAUSTED: Failed writing: "x" [OS error 28: No space left on device]'
    )
    assert disk.failure(error) == 'the disk is full'
    assert disk.failure(ValueError('another')) is None


def test_metrics_that_cannot_be_written_say_what_is_safe(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    with metrics_log.writer(tmp_path) as write:
        monkeypatch.setattr(EventsWriter, 'flush', fails)
        with pytest.raises(disk.DiskError, match=r'metrics.jsonl could not .* are whole'):
            write(1, 1, {'loss': 1.0})
        monkeypatch.undo()


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a'
    disk.write(path, b'one')

    def fails(_: int) -> None:
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(os, 'fsync', fails)
    with pytest.raises(OSError, match='Input/output'):
        disk.write(path, b'two')
    assert path.read_bytes() == b'one'
    assert list(tmp_path.iterdir()) == [path]


def test_a_command_ends_in_one_line_and_status_1() -> None:
    code = (
        'from point_ft_jax.experiments import command_line as c\n'
        "def full(): raise OSError(28, 'No space left on device', '/a/b')\n"
        'c.guarded(full)'
    )
    found = subprocess.run(
        [sys.executable, '-c', code],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1
    [line] = found.stderr.splitlines()
    assert line.startswith('error: the disk is full: /a/b. What was saved before is whole')
