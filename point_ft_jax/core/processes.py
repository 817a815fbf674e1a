"""Runs of several processes, one a host: how they find each other, and what losing one says."""

import atexit
import os
import sys
import time
import traceback
from typing import NoReturn

from point_ft_jax.core import rendezvous
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.rendezvous import Meeting

ADDRESS, COUNT, ID = 'JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'
HOSTS = 'POINT_FT_JAX_HOSTS'
HEARTBEAT = 'POINT_FT_JAX_HEARTBEAT_SECONDS'
WAIT = 'POINT_FT_JAX_WAIT_SECONDS'
AGAIN = 'Give the same command again on all hosts to go on from the last checkpoint'
GRACE = 5.0  # seconds for what was computing to notice a loss by itself

_meetings: list[Meeting] = []


def join() -> None:
    """Joins the other processes of a run; does nothing where the environment names none.

    JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID name
    them. They wait for each other for POINT_FT_JAX_WAIT_SECONDS, 120 if unset. With
    POINT_FT_JAX_HOSTS=auto JAX finds them itself: on TPU slices, under Slurm and Open MPI. A
    process that is silent for POINT_FT_JAX_HEARTBEAT_SECONDS, 100 if unset, is lost; one that ends
    is lost at once.

    Raises:
        UserError: variables that are missing or make no sense, or processes that do not come.
    """
    import jax

    options = {} if os.environ.get(HOSTS) == 'auto' else _named()
    if options is None:
        return
    heartbeat = _number(HEARTBEAT, os.environ.get(HEARTBEAT, '100'), 1)
    seconds = _number(WAIT, os.environ.get(WAIT, '120'), 1)
    if options and options['num_processes'] > 1:
        _meetings.append(rendezvous.meet(*options.values(), seconds))
    try:
        jax.distributed.initialize(
            **options, heartbeat_timeout_seconds=heartbeat, initialization_timeout=seconds
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f'the processes of this run did not find each other: {error}\nCheck that all were '
            f'started, with the same {ADDRESS} and {COUNT}, and can reach that address'
        ) from None
    for meeting in _meetings:
        atexit.register(meeting.end)
        meeting.watch(_on_loss)


def _on_loss(number: int) -> None:
    """Ends this process, unless what was computing does so first, with an error of its own."""
    time.sleep(GRACE)
    _say_lost()
    leave(1)


def _say_lost() -> None:
    numbers = sorted({number for meeting in _meetings for number in meeting.lost})
    which = f'process {", ".join(map(str, numbers))} of this run has ended'
    print(f'error: {which}; if it was not stopped, it says why. {AGAIN}', file=sys.stderr)


def _named() -> dict[str, object] | None:
    """What the environment says of the processes; None for nothing."""
    said = {name: os.environ.get(name) for name in (ADDRESS, COUNT, ID)}
    if not any(said.values()):
        return None
    problems = [f'{name} is not set' for name, value in said.items() if not value]
    raise_all(problems, 'a run of several processes needs three variables:')
    count, index = _number(COUNT, said[COUNT], 1), _number(ID, said[ID], 0)
    if index >= count:
        raise UserError(f'{ID} is {index}; expected 0 to {count - 1}, since {COUNT} is {count}')
    return {'coordinator_address': said[ADDRESS], 'num_processes': count, 'process_id': index}


def _number(name: str, value: str, least: int) -> int:
    if not value.isdecimal() or int(value) < least:
        raise UserError(f'{name} is {value!r}; expected a whole number from {least} on')
    return int(value)


def several() -> bool:
    """Whether this run has other processes."""
    jax = sys.modules.get('jax')
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1


def leave(status: int) -> NoReturn:
    """Ends this process at once: a regular end would wait for the others, who wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def lost(error: Exception) -> NoReturn:
    """Ends this process after an error that one of many can't go on after."""
    until = time.monotonic() + GRACE / 2
    while not any(meeting.lost for meeting in _meetings) and time.monotonic() < until:
        time.sleep(0.05)  # where another was lost, the connection to it says so in a moment
    if any(meeting.lost for meeting in _meetings):
        _say_lost()
        leave(1)
    traceback.print_exception(error)
    print(
        'error: this process, or another that it needs, failed; the first that failed says why. '
        f'{AGAIN}',
        file=sys.stderr,
    )
    leave(1)


def check_devices() -> None:
    """Raises UserError where JAX does not find the devices that were asked for."""
    import jax

    try:
        jax.devices()
    except Exception as error:
        # An error of one kind or another, an assertion without words among them, by the version.
        asked = os.environ.get('JAX_PLATFORMS', '')
        said = f' ({" ".join(str(error).split())[:200]})' if str(error) else ''
        raise UserError(
            f'JAX finds no device of JAX_PLATFORMS={asked}{said}: unset it to use what there is, '
            'or install what the device needs, jax[cuda13] for a GPU, jax[tpu] for a TPU'
        ) from None
