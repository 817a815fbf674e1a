"""How far a run is: a line that redraws itself on a terminal, a few plain lines elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

PLAIN_SECONDS = 30.0  # the longest silence outside a terminal, while epochs are longer than that
BAR_WIDTH = 24


@contextlib.contextmanager
def progress(
    epochs: int,
    label: str = '',
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    quiet: bool = False,
) -> Iterator[Callable[..., None]]:
    """Shows the progress of a run on stderr for as long as the context lasts.

    Args:
        epochs: how many there will be.
        label: what stands in front, such as 'seed 2/3'.
        stream: where to write, stderr by default.
        clock: seconds; for tests.
        quiet: shows nothing, as all processes of a run but one do.

    Yields:
        `show(epoch, **values)`, to be called with the number of epochs done, which may be a
        fraction within an epoch, and the values of `line`. On a terminal every call redraws the
        line. Elsewhere a call prints one if it finishes an epoch, or if the last is 30 s ago.
        `show(epoch, resumed=True)` says where a run goes on, so that the pace is that from there.
    """
    if quiet:
        yield lambda *_, **__: None
        return
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty() and os.environ.get('TERM') != 'dumb'
    marks = [(clock(), 0.0)]
    printed = marks[0]

    def show(epoch: float, resumed: bool = False, **values: float | None) -> None:
        nonlocal printed
        now = clock()
        if resumed:
            marks[:] = [(now, epoch)]
            printed = marks[0]
        if epoch > marks[-1][1]:
            marks[1:] = [*marks[1:2], (now, epoch)]
        status = line(
            epoch, epochs, now - marks[0][0], _seconds_left(marks, epochs), label, **values
        )
        if terminal:
            stream.write('\r' + _fit(status, epoch / epochs, _columns(stream), _glyphs(stream)))
            stream.flush()
        elif int(epoch) > int(printed[1]) or now - printed[0] >= PLAIN_SECONDS:
            printed = (now, epoch)
            stream.write(status + '\n')
            stream.flush()

    if terminal:
        show(0)
    try:
        yield show
    finally:
        if terminal:  # whatever is printed next, an error perhaps, starts on a line of its own
            stream.write('\n')
            stream.flush()


def line(
    epoch: float,
    epochs: int,
    elapsed: float,
    left: float | None,
    label: str = '',
    *,
    loss: float | None = None,
    accuracy: float | None = None,
    clouds_per_s: float | None = None,
) -> str:
    """One line of progress, with what is known: 'epoch 3/50  loss 1.234  accuracy 56.7 %  …'.

    Args:
        epoch: epochs done; a fraction is shown as the epoch under way.
        epochs: of how many.
        elapsed: seconds so far.
        left: seconds to go, or None if nobody knows yet.
        label: what stands in front.
        loss: of the training.
        accuracy: a fraction in 0..1, shown in percent.
        clouds_per_s: training speed.
    """
    number = min(int(epoch) + (epoch > int(epoch)), epochs)
    parts = [
        label,
        f'epoch {number:{len(str(epochs))}}/{epochs}',
        '' if loss is None else f'loss {loss:.4f}',
        '' if accuracy is None else f'accuracy {100 * accuracy:5.2f} %',
        '' if clouds_per_s is None else f'{clouds_per_s:,.0f} clouds/s',
        f'{duration(elapsed)} elapsed',
        '' if left is None else f'{duration(left)} left',
    ]
    return '  '.join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Seconds as '0:07', '12:34' or '5:06:07', rounded to whole seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'


def _seconds_left(marks: list[tuple[float, float]], epochs: int) -> float | None:
    if len(marks) < 2:
        return None
    # The first stretch holds the compilation: the pace is taken from its end on where it can be.
    (began, first), (now, last) = marks[-2:]
    if len(marks) == 2 and last - first < 0.1:
        return None  # a step or two, and the compilation: that says nothing yet
    return (epochs - last) * (now - began) / (last - first)


def _fit(status: str, share: float, columns: int, glyphs: str) -> str:
    """The status with a bar in front if there is room, in exactly columns - 1 characters."""
    room = columns - 1
    width = min(BAR_WIDTH, room - len(status) - 2)
    if width >= 5:
        done = round(min(share, 1.0) * width)
        status = f'{glyphs[0] * done}{glyphs[1] * (width - done)}  {status}'
    return status[:room].ljust(room)


def _glyphs(stream: TextIO) -> str:
    try:
        '━─'.encode(stream.encoding or 'ascii')
    except UnicodeEncodeError:
        return '#-'
    return '━─'


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
