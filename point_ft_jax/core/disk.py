"""Files and folders that are written whole, reach the disk, and are known by what is in them."""

import concurrent.futures
import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from point_ft_jax.core.errors import UserError

# What a disk does that no program can help, and the words that libraries have for it.
FAILURES = {
    errno.ENOSPC: 'the disk is full',
    errno.EDQUOT: 'the quota of this disk is used up',
    errno.EFBIG: 'the file is larger than this disk or this user may have',
    errno.EROFS: 'the disk can only be read',
    errno.EIO: 'the disk failed (input/output error)',
    errno.ESTALE: 'the network disk lost the file (stale handle)',
    errno.EACCES: 'this user has no permission for that',
    errno.EPERM: 'this user has no permission for that',
}
_WORDS = {os.strerror(number).lower(): number for number in FAILURES}
_UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # of folders, on some network disks
_TRASH = '.removed'  # ends the name of what is being removed


class DiskError(UserError):
    """A disk that is full, read-only or failing; commands end in status 1."""

    status = 1


def failure(error: BaseException) -> str | None:
    """What the disk did, in words, where an error comes from it; None for any other error."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in FAILURES:
            where = f': {chain.filename}' if chain.filename else ''
            return FAILURES[chain.errno] + where
        chain = chain.__cause__ or chain.__context__
    # Libraries in C++ raise errors of their own, in whose text the system's words are.
    text = str(error).lower()
    return next((FAILURES[number] for words, number in _WORDS.items() if words in text), None)


@contextlib.contextmanager
def writing(what: str, safe: str = '') -> Iterator[None]:
    """Inside, what the disk refuses ends in a `DiskError` that names `what` and what is `safe`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (reason := failure(error)) is None:
            raise
        rest = f'. {safe}' if safe else ''
        raise DiskError(f'{what} could not be written, since {reason}{rest}') from None


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all; it is on the disk when this returns."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A file to write and read that becomes `path`, on the disk, when all is written to it."""
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
    try:
        with temporary.open('w+b') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def sync(path: pathlib.Path) -> None:
    """Returns when a file, or a folder's list of names, is on the disk.

    What the system keeps of a file in memory is given up, so that it is read from the disk next.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if hasattr(os, 'posix_fadvise'):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise
    finally:
        os.close(handle)


def sync_all(folder: pathlib.Path) -> None:
    """`sync` of every file and folder in a folder, of itself, and of its name.

    Several at once, which a disk does in little more time than one.
    """
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(sync, [folder, folder.parent, *folder.rglob('*')]))


def digest(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def remove(folder: pathlib.Path) -> None:
    """Removes a folder and what is in it; a kill in between leaves nothing of its name."""
    trash = folder.with_name(f'{folder.name}.{uuid.uuid4().hex}{_TRASH}')
    os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def clear(folder: pathlib.Path, *patterns: str) -> None:
    """Removes what a kill left of a removal, and what matches the patterns (`fnmatch`)."""
    for pattern in (f'*{_TRASH}', *patterns):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def one_line(error: BaseException) -> str:
    """The type of an error, and the first 200 characters of what it says, in one line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
