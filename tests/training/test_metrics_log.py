"""Metrics survive kills: a resumed run leaves the lines of an uninterrupted one."""

import json
import os
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from point_ft_jax.core.errors import UserError
from point_ft_jax.training import metrics_log


def run(folder, steps, resume_step=-1, seconds=1.0):
    with metrics_log.writer(folder, resume_step) as write:
        for step in steps:
            write(step, step / 10, {'train_loss': 1 / step}, {'seconds': seconds * step})


def untimed(folder):
    return [
        {k: v for k, v in record.items() if k != 'timing'} for record in metrics_log.read(folder)
    ]


def events(folder):
    """The events of all files: records of length, its checksum, an event, its checksum."""
    for path in sorted(folder.glob('events.*')):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], 'little')
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_a_line_holds_step_epoch_scalars_and_timing_in_full_precision(tmp_path):
    third = np.float32(1 / 3)
    with metrics_log.writer(tmp_path) as write:
        write(np.int64(4), 0.5, {'loss': jnp.float32(third), 'n': 3}, {'seconds': 0.1})
    text = (tmp_path / metrics_log.FILE).read_text()
    assert text.endswith('\n')
    expected = {
        'step': 4, 'epoch': 0.5, 'loss': float(third), 'n': 3, 'timing': {'seconds': 0.1},
    }  # fmt: skip
    line = json.loads(text)
    assert {k: v for k, v in line.items() if k != metrics_log.CHECKSUM} == expected
    assert metrics_log.read(tmp_path) == [expected]


@pytest.mark.parametrize('change', [('0.5', '0.7'), ('checksum', 'chucksum'), ('"n"', '"m"')])
def test_a_line_that_is_not_what_was_written_is_named(tmp_path, change):
    run(tmp_path, [1])
    with metrics_log.writer(tmp_path, resume_step=1) as write:
        write(4, 0.5, {'loss': 1.0, 'n': 3})
    path = tmp_path / metrics_log.FILE
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=r'line [12]: expected a JSON object .* as it was written'):
        metrics_log.read(path)


def test_what_json_cannot_hold_is_null(tmp_path):
    with metrics_log.writer(tmp_path) as write:
        write(1, 1, {'nan': float('nan'), 'inf': jnp.inf, 'ok': 1.0})
    assert 'NaN' not in (tmp_path / metrics_log.FILE).read_text()
    [record] = metrics_log.read(tmp_path)
    assert (record['nan'], record['inf'], record['ok']) == (None, None, 1.0)


def test_lines_are_on_disk_before_the_run_ends(tmp_path):
    with metrics_log.writer(tmp_path) as write:
        write(1, 1, {'loss': 1.0})
        assert len(metrics_log.read(tmp_path / metrics_log.FILE)) == 1


@pytest.mark.parametrize('torn', ['', '{"step": 8, "ep', '{'])
def test_a_resumed_run_leaves_the_lines_of_an_uninterrupted_one(tmp_path, torn):
    run(tmp_path / 'whole', range(1, 11))
    run(tmp_path / 'killed', range(1, 8), seconds=2.0)
    with open(tmp_path / 'killed' / metrics_log.FILE, 'a') as file:
        file.write(torn)
    run(tmp_path / 'killed', range(6, 11), resume_step=5, seconds=3.0)
    assert untimed(tmp_path / 'killed') == untimed(tmp_path / 'whole')
    assert sorted(p.name for p in (tmp_path / 'killed').iterdir() if 'events' not in p.name) == [
        metrics_log.FILE
    ]


def test_lines_that_stay_are_kept_byte_for_byte(tmp_path):
    path = tmp_path / metrics_log.FILE
    path.write_text('{"step":1,  "epoch":1}\n{"step":2, "epoch":2.0}\n{"step":3, "epoch":3}')
    with metrics_log.writer(tmp_path, resume_step=3):
        pass
    assert path.read_text() == (
        '{"step":1,  "epoch":1}\n{"step":2, "epoch":2.0}\n{"step":3, "epoch":3}\n'
    )


def test_a_restart_from_nothing_drops_all(tmp_path):
    run(tmp_path, range(1, 4))
    run(tmp_path, [], resume_step=-1)
    assert metrics_log.read(tmp_path) == []


ENDLESS = """
import sys
from point_ft_jax.training import metrics_log
with metrics_log.writer(sys.argv[1]) as write:
    for step in range(10**9):
        write(step, step, {'loss': step / 7})
        print(step, flush=True)
"""


def test_a_killed_process_leaves_a_readable_file(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process, process.stdout as lines:
        seen = [int(next(lines)) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
    read = metrics_log.read(tmp_path)
    assert [record['step'] for record in read[:20]] == seen
    run(tmp_path, [11], resume_step=10)
    assert [record['step'] for record in metrics_log.read(tmp_path)] == list(range(12))


def test_tensorboard_mirrors_the_scalars_and_hides_what_was_dropped(tmp_path):
    with metrics_log.writer(tmp_path) as write:
        write(1, 1, {'loss': 0.5, 'nan': float('nan')}, {'seconds': 2.0})
        write(2, 2, {'loss': 0.25})
    first = [(v.tag, e.step, v.simple_value) for e in events(tmp_path) for v in e.summary.value]
    assert first == [('loss', 1, 0.5), ('timing/seconds', 1, 2.0), ('loss', 2, 0.25)]

    run(tmp_path, [2], resume_step=1)
    starts = [e.step for e in events(tmp_path) if e.session_log.status == 1]
    assert starts == [0, 2]
    assert len(list(tmp_path.glob('events.*'))) == 2


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(None, range(3, 5))
    assert not list(tmp_path.iterdir())


def test_a_scalar_cannot_take_the_name_of_a_field(tmp_path):
    with metrics_log.writer(tmp_path) as write, pytest.raises(TypeError, match='step'):
        write(1, 1, {'step': 2.0})


@pytest.mark.parametrize('broken', ['{"step": 1,', '[1, 2]', '{"loss": 1}', ''])
def test_a_broken_line_is_named(tmp_path, broken):
    path = tmp_path / metrics_log.FILE
    path.write_text(f'{{"step": 0, "epoch": 0}}\n{broken}\n{{"step": 2, "epoch": 2}}\n')
    with pytest.raises(UserError, match=r'line 2: expected a JSON object with "step" and "epoch"'):
        metrics_log.read(path)


def test_missing_metrics_are_named(tmp_path):
    with pytest.raises(UserError, match=r'no metrics at .*metrics\.jsonl; expected'):
        metrics_log.read(tmp_path)
