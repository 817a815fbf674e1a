"""Signals: a request that the training loop checks between its calls, or the end of another job.

They are Ctrl-C, SIGTERM (preemption) and SIGHUP (a closed terminal or connection).
"""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

HANGUP = getattr(signal, 'SIGHUP', None)  # which Windows does not have
SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))


class Interrupted(BaseException):
    """A signal outside training, which Python would die of; as KeyboardInterrupt for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class Stopped(Exception):  # noqa: N818 - not an error: what was done is saved
    """Training was asked to stop; its state is saved, and a fit in the same folder resumes.

    Attributes:
        signal: the number of the signal.
        step: the steps that were taken.
    """

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f'{signal.Signals(number).name} after step {step}; the state is saved')
        self.signal = number
        self.step = step


@dataclasses.dataclass
class Interrupt:
    """A request to stop: the number of the signal, 0 for none."""

    signal: int = 0


@contextlib.contextmanager
def interruptible(enabled: bool = True) -> Iterator[Interrupt]:
    """Inside, signals are recorded as requests; a second one of a kind acts at once.

    Outside the main thread, or if not `enabled`, signals act as usual.
    """
    interrupt = Interrupt()
    before = _handlers() if enabled else {}

    def request(number: int, _: FrameType | None) -> None:
        interrupt.signal = number
        signal.signal(number, before[number])
        _let_go_of_the_terminal(number)
        print('\nstopping: saving what is done, a moment ...', file=sys.stderr, flush=True)

    with _handling(before, request):
        yield interrupt


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `Interrupted`, as Ctrl-C raises KeyboardInterrupt."""

    def end(number: int, _: FrameType | None) -> None:
        _let_go_of_the_terminal(number)
        raise Interrupted(number)

    before = {number: old for number, old in _handlers().items() if number != signal.SIGINT}
    with _handling(before, end):
        yield


def _handlers() -> dict[int, object]:
    """What handles each of the signals now; those that nohup has had ignored stay so."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {n: old for n, old in found.items() if n != HANGUP or old != signal.SIG_IGN}


@contextlib.contextmanager
def _handling(before: dict[int, object], handler: Callable) -> Iterator[None]:
    """Inside, `handler` handles the signals of `before`; afterwards they are as they were."""
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _let_go_of_the_terminal(number: int) -> None:
    """After SIGHUP nothing is written to a terminal, which fails when it has gone."""
    if number != HANGUP:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if os.isatty(stream):
                os.dup2(nowhere, stream)
    os.close(nowhere)
