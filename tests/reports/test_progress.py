"""Progress redraws one line on a terminal and prints few lines elsewhere, on stderr."""

import io
import os
import pty
import time

import pytest

from point_ft_jax.reports import progress as p


class Terminal(io.StringIO):
    encoding = 'utf-8'

    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def play(stream, updates, epochs=4, **options):
    """Shows (seconds, epoch, values) one after the other and returns what was written."""
    clock = Clock()
    with p.progress(epochs, stream=stream, clock=clock, **options) as show:
        for clock.now, epoch, values in updates:
            show(epoch, **values)
    return stream.getvalue()


def test_a_line_says_what_is_known():
    whole = p.line(12, 300, 75, 3725, 'seed 2/3', loss=1.23456, accuracy=0.567, clouds_per_s=1234.5)
    assert whole == (
        'seed 2/3  epoch  12/300  loss 1.2346  accuracy 56.70 %  1,234 clouds/s  '
        '1:15 elapsed  1:02:05 left'
    )
    assert p.line(0, 300, 0, None) == 'epoch   0/300  0:00 elapsed'


def test_within_an_epoch_the_line_names_the_one_under_way():
    assert p.line(2.25, 10, 0, None).startswith('epoch  3/10')
    assert p.line(10, 10, 0, None).startswith('epoch 10/10')


@pytest.mark.parametrize(
    ('seconds', 'text'), [(0, '0:00'), (59.6, '1:00'), (754, '12:34'), (18367, '5:06:07')]
)
def test_durations(seconds, text):
    assert p.duration(seconds) == text


def test_elsewhere_there_is_one_line_an_epoch_and_nothing_before_the_first():
    written = play(io.StringIO(), [(t, t / 2, {'loss': 0.5}) for t in range(9)])
    lines = written.splitlines()
    assert [line[:9] for line in lines] == ['epoch 1/4', 'epoch 2/4', 'epoch 3/4', 'epoch 4/4']
    assert lines[1] == 'epoch 2/4  loss 0.5000  0:04 elapsed  0:04 left'
    assert '\r' not in written


def test_a_long_epoch_breaks_its_silence_after_thirty_seconds():
    written = play(io.StringIO(), [(t, t / 1000, {}) for t in range(0, 95, 5)])
    assert [line.split('  ')[1] for line in written.splitlines()] == [
        '0:30 elapsed', '1:00 elapsed', '1:30 elapsed',
    ]  # fmt: skip


def test_time_left_is_not_fooled_by_the_compilation():
    written = play(io.StringIO(), [(100, 1, {}), (110, 2, {}), (120, 3, {})])
    assert [line.split('  ')[-1] for line in written.splitlines()] == [
        '5:00 left', '0:20 left', '0:10 left',
    ]  # fmt: skip


def test_the_first_step_says_nothing_of_the_time_left():
    written = play(io.StringIO(), [(100, 0.01, {}), (110, 1, {})])
    assert [line.split('  ')[-1] for line in written.splitlines()] == ['1:40 elapsed', '0:30 left']


def test_time_left_of_a_resumed_run_counts_only_its_own_epochs():
    updates = [(30, 90, {'doing': 'compiling'}), (50, 90, {}), (60, 91, {})]
    written = play(io.StringIO(), updates, epochs=100)
    assert written == ('compiling …\ncompiling took 0:20\nepoch  91/100  1:00 elapsed  1:30 left\n')


def test_what_is_compiled_is_said_with_its_seconds_and_is_no_time_of_an_epoch():
    updates = [
        (0, 0, {'doing': 'compiling'}),
        (100, 0, {}),
        (102, 0.2, {}),
        (110, 1, {'doing': 'compiling the evaluation'}),
        (150, 1, {'accuracy': 0.5, 'split': 'validation'}),
        (162, 2, {'accuracy': 0.5, 'split': 'test'}),
    ]
    lines = play(io.StringIO(), updates, epochs=300, label='seed 0').splitlines()
    assert lines == [
        'seed 0  compiling …',
        'seed 0  compiling took 1:40',
        'seed 0  compiling the evaluation …',
        'seed 0  compiling the evaluation took 0:40',
        'seed 0  epoch   1/300  validation accuracy 50.00 %  2:30 elapsed  49:50 left',
        'seed 0  epoch   2/300  test accuracy 50.00 %  2:42 elapsed  55:11 left',
    ]


def test_on_a_terminal_the_seconds_of_compiling_are_counted(monkeypatch):
    stream, clock = Terminal(), Clock()
    monkeypatch.setattr(p, 'TICK', 0.01)
    with p.progress(4, stream=stream, clock=clock) as show:
        show(0, doing='compiling')
        clock.now = 7.0
        wait = time.monotonic() + 10
        while 'compiling 0:07' not in stream.getvalue() and time.monotonic() < wait:
            time.sleep(0.01)
    assert 'compiling 0:07' in stream.getvalue()


def test_on_a_terminal_one_line_is_redrawn_and_fits():
    written = play(Terminal(), [(1, 1, {'loss': 2.0}), (2, 2, {'loss': 1.0})], label='seed 1/2')
    assert written.count('\n') == 1
    assert written.endswith('\n')
    states = written.strip('\r\n').split('\r')
    assert [len(state) for state in states] == [79, 79, 79]
    assert '━━' in states[2]
    assert 'seed 1/2  epoch 2/4  loss 1.0000  0:02 elapsed  0:02 left' in states[2]


def test_a_narrow_terminal_loses_the_bar_and_then_the_end(monkeypatch):
    monkeypatch.setattr(os, 'get_terminal_size', lambda _: os.terminal_size((20, 5)))
    stream = Terminal()
    stream.fileno = lambda: 2
    states = play(stream, [(1, 1, {'loss': 2.0})]).strip('\r\n').split('\r')
    assert states[1] == 'epoch 1/4  loss 2.0'


def test_an_ascii_terminal_gets_an_ascii_bar():
    stream = Terminal()
    stream.encoding = 'ascii'
    written = play(stream, [(1, 2, {})])
    assert '############------------  epoch 2/4' in written
    assert written.isascii()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv('TERM', 'dumb')
    assert '\r' not in play(Terminal(), [(1, 1, {})])


def test_an_error_begins_on_a_line_of_its_own():
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), p.progress(3, stream=stream):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith('\n')


def test_stdout_stays_clean(capsys):
    with p.progress(1) as show:
        show(1)
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith('epoch 1/1')


def test_a_real_terminal_is_recognised():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, 'w') as stream, p.progress(2, stream=stream) as show:
        show(1)
        written = os.read(ours, 1000).decode()
    os.close(ours)
    assert written.count('\r') >= 1
