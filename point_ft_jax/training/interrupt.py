"""Ctrl-C and SIGTERM (preemption) as a request that the training loop checks between its calls."""

import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    """Inside, Ctrl-C and SIGTERM are recorded as requests; a second one of a kind acts at once.

    Outside the main thread, or if not `enabled`, signals act as usual.
    """
    interrupt = Interrupt()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def request(number: int, _: FrameType | None) -> None:
        interrupt.signal = number
        signal.signal(number, before[number])
        print('\nstopping: saving what is done, a moment ...', file=sys.stderr, flush=True)

    try:
        for number in SIGNALS:
            signal.signal(number, request)
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
