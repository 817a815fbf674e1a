"""How far a run is: a line that redraws itself on a terminal, a few plain lines elsewhere."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

PLAIN_SECONDS = 30.0  # the longest silence outside a terminal, while epochs are longer than that
BAR_WIDTH = 24
TICK = 1.0  # seconds between two looks at the clock while something is compiled


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
        `show(epoch, doing='compiling')` says what is done until the next call, and for how long;
        that time is none of an epoch's, and says nothing of the time that is left.
    """
    if quiet:
        yield lambda *_, **__: None
        return
    shown = _Progress(epochs, label, sys.stderr if stream is None else stream, clock)
    try:
        yield shown.show
    finally:
        shown.end()


class _Progress:
    """What is shown of a run: its line, its pace, and what it does besides training."""

    def __init__(self, epochs: int, label: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._epochs, self._label, self._stream, self._clock = epochs, label, stream, clock
        self._terminal = stream.isatty() and os.environ.get('TERM') != 'dumb'
        self._began = clock()
        self._marks = [(self._began, 0.0)]  # seconds of training, epochs done
        self._printed = (self._began, 0.0)
        self._fresh = True
        self._aside = 0.0  # seconds that were none of training
        self._doing: tuple[str, float] | None = None  # what else is done, and since when
        self._lock, self._ended = threading.Lock(), threading.Event()
        if self._terminal:
            self._draw(line(0, epochs, 0, None, label), 0)
            threading.Thread(target=self._tick, daemon=True).start()

    def show(self, epoch: float, doing: str = '', **values: Any) -> None:
        """See `progress`."""
        with self._lock:
            self._finish()
            now = self._clock()
            if doing:
                self._begin(doing, now, epoch)
            else:
                self._advance(epoch, now, values)

    def end(self) -> None:
        """What is printed next, an error perhaps, starts on a line of its own."""
        self._ended.set()
        with self._lock:
            if self._terminal:
                self._write('\n')

    def _begin(self, doing: str, now: float, epoch: float) -> None:
        self._doing = (doing, now)
        if self._fresh:  # what was trained before it resumed says nothing of its pace
            self._marks, self._printed = [(now, epoch)], (now, epoch)
            self._fresh = False
        if not self._terminal:
            self._write(f'{self._prefix()}{doing} …\n')
        self._redraw(now)

    def _finish(self) -> None:
        """What was done besides training is over."""
        if self._doing is None:
            return
        doing, since = self._doing
        took = self._clock() - since
        self._aside += took
        self._doing = None
        self._printed = (self._clock(), self._printed[1])
        if not self._terminal:
            self._write(f'{self._prefix()}{doing} took {duration(took)}\n')

    def _advance(self, epoch: float, now: float, values: dict[str, Any]) -> None:
        trained = now - self._aside
        if epoch > self._marks[-1][1]:
            self._marks[1:] = [*self._marks[1:2], (trained, epoch)]
        left = _seconds_left(self._marks, self._epochs)
        status = line(epoch, self._epochs, now - self._began, left, self._label, **values)
        if self._terminal:
            self._draw(status, epoch)
        elif int(epoch) > int(self._printed[1]) or now - self._printed[0] >= PLAIN_SECONDS:
            self._printed = (now, epoch)
            self._write(status + '\n')

    def _tick(self) -> None:
        """Counts the seconds of what is done besides training."""
        while not self._ended.wait(TICK):
            with self._lock:
                self._redraw(self._clock())

    def _redraw(self, now: float) -> None:
        if self._terminal and self._doing and not self._ended.is_set():
            doing, since = self._doing
            self._draw(f'{self._prefix()}{doing} {duration(now - since)}', self._marks[-1][1])

    def _prefix(self) -> str:
        return f'{self._label}  ' if self._label else ''

    def _draw(self, status: str, epoch: float) -> None:
        stream = self._stream
        self._write('\r' + _fit(status, epoch / self._epochs, _columns(stream), _glyphs(stream)))

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def line(
    epoch: float,
    epochs: int,
    elapsed: float,
    left: float | None,
    label: str = '',
    *,
    loss: float | None = None,
    accuracy: float | None = None,
    split: str = '',
    clouds_per_s: float | None = None,
) -> str:
    """One line of progress, with what is known: 'epoch 3/50  loss 1.234  test accuracy 56.7 %  …'.

    Args:
        epoch: epochs done; a fraction is shown as the epoch under way.
        epochs: of how many.
        elapsed: seconds so far.
        left: seconds to go, or None if not yet known.
        label: what stands in front.
        loss: of the training.
        accuracy: a fraction in 0..1, shown in percent.
        split: what the accuracy is of.
        clouds_per_s: training speed.
    """
    number = min(int(epoch) + (epoch > int(epoch)), epochs)
    parts = [
        label,
        f'epoch {number:{len(str(epochs))}}/{epochs}',
        '' if loss is None else f'loss {loss:.4f}',
        '' if accuracy is None else f'{split} accuracy {100 * accuracy:5.2f} %'.lstrip(),
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
    # The first stretch may hold what a program does once: the pace is taken from its end on.
    (began, first), (now, last) = marks[-2:]
    if last - first < 0.1 or (len(marks) == 2 and now - began < 1.0):
        return None  # a step or two: that says nothing yet
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
