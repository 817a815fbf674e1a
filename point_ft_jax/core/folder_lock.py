"""One process at a time in a folder, by a lock that says who holds it.

The lock is the system's (`flock`), which ends with its process; the file says who that is, which no
library for locks does. Where a network disk does not carry locks from host to host, what the file
says decides alone.
"""

import atexit
import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
import sys
from collections.abc import Callable
from typing import Any

from point_ft_jax.core.errors import UserError

NAME = '.lock'
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process that holds a folder.

    Attributes:
        host: its name.
        boot: which start of that host it runs in; '' where the system does not say.
        process: its number.
        started: when the process began, in the system's ticks, so that another process that was
            given the same number later is not taken for it; 0 where the system does not say.
        since: when it took the folder, in words.
        command: its command line.
        folder: that it holds; a copy of the folder has the file too, and is not held.
    """

    host: str
    boot: str
    process: int
    started: int
    since: str
    command: str
    folder: str

    @classmethod
    def of(cls, folder: pathlib.Path) -> 'Owner':
        """This process, from now on."""
        now = datetime.datetime.now().astimezone().strftime('%Y-%m-%d %H:%M:%S %Z')
        command = ' '.join(sys.argv)[:200]
        process = os.getpid()
        host, started = socket.gethostname(), _started(process)
        return cls(host, _boot(), process, started, now, command, str(folder))

    def is_running(self) -> bool:
        """Whether it runs still, on this host."""
        if self.boot != _boot():
            return False
        if not pathlib.Path('/proc/self/stat').exists():
            return _answers(self.process)
        return self.started != 0 and self.started == _started(self.process)

    def __str__(self) -> str:
        return f'process {self.process} on {self.host}, since {self.since} ({self.command})'


class FolderLock:
    """A folder that this process holds, until `release` or the end of the process."""

    def __init__(self, path: pathlib.Path, handle: int) -> None:
        self._path, self._handle = path, handle

    def release(self) -> None:
        """Gives the folder back."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._handle)


_held: dict[pathlib.Path, FolderLock] = {}


def hold(folder: pathlib.Path, say: Callable[[str], None]) -> None:
    """Locks a folder for this process until `release_all`, or until it ends; see `lock`."""
    if folder not in _held:
        _held[folder] = lock(folder, say)


def release_all() -> None:
    """Gives back all folders that this process holds."""
    while _held:
        _held.popitem()[1].release()


atexit.register(release_all)


def lock(folder: pathlib.Path, say: Callable[[str], None]) -> FolderLock:
    """The lock of a folder, which is there.

    Args:
        folder: what is locked.
        say: is given a line where a lock is taken over from a process that has ended.

    Raises:
        UserError: another process holds it, or one of another host that may.
        OSError: the folder cannot be written.
    """
    path = folder / NAME
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            is_free = _try(handle)
            if is_free and not _is(path, handle):  # it was released, and removed, meanwhile
                os.close(handle)
                continue
            owner = _read(handle, folder)
            _check(folder, owner, is_free)
        except BaseException:
            os.close(handle)
            raise
        if owner is not None:
            say(f'{folder} was held by {owner}, which has ended: it is taken over')
        text = json.dumps(dataclasses.asdict(Owner.of(folder))).encode()
        os.ftruncate(handle, 0)
        os.pwrite(handle, text, 0)
        os.fsync(handle)
        return FolderLock(path, handle)


def _try(handle: int) -> bool:
    """Whether the system gives this process the lock; True where it has none to give."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _BUSY
    return True


def _is(path: pathlib.Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _check(folder: pathlib.Path, owner: Owner | None, is_free: bool) -> None:
    """Raises UserError where the folder is held, or may be."""
    held = f'{folder} is in use by {owner or "a process that has not said who it is"}'
    if not is_free or (owner and owner.host == socket.gethostname() and owner.is_running()):
        raise UserError(
            f'{held}: wait for it to end, stop it, or give another folder (--config.folder)'
        )
    if owner and owner.host != socket.gethostname():
        raise UserError(
            f'{held}. Whether it still runs can only be seen on that host: if it does, wait for '
            f'it, or give another --config.folder; if it does not, rm {folder / NAME}'
        )


def _read(handle: int, folder: pathlib.Path) -> Owner | None:
    """Who the file says holds the folder; None if it does not say, or is a copy from elsewhere."""
    with contextlib.suppress(ValueError, TypeError, OSError, RecursionError):
        fields: dict[str, Any] = json.loads(os.pread(handle, 4096, 0))
        owner = Owner(**fields)
        if isinstance(owner.process, int) and isinstance(owner.started, int):
            is_copy = owner.host == socket.gethostname() and owner.folder != str(folder)
            return None if is_copy else owner
    return None


def _boot() -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return ''


def _started(process: int) -> int:
    """When a process began, in ticks since the system did; 0 if it is not there."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = pathlib.Path(f'/proc/{process}/stat').read_text()
        state, *rest = text.rpartition(')')[2].split()  # its name, in brackets, may have spaces
        return 0 if state in 'ZX' else int(rest[18])
    return 0


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
