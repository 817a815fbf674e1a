"""Where on disk is kept what takes long to make, and how arrays are kept there.

Nothing depends on it: what cannot be kept, or be read again, is made again, and a warning says so.
"""

import contextlib
import hashlib
import os
import pathlib
import tempfile
import uuid
from typing import BinaryIO

import numpy as np

from point_ft_jax.core import disk
from point_ft_jax.core.errors import warn

HASH = 32  # bytes


def folder() -> pathlib.Path:
    """point_ft_jax in the user's cache folder, $XDG_CACHE_HOME or ~/.cache; it may not exist."""
    try:
        caches = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    except RuntimeError:  # a user without a home
        caches = tempfile.gettempdir()
    return pathlib.Path(caches, 'point_ft_jax')


def read(path: pathlib.Path, *names: str) -> list[np.ndarray] | None:
    """The arrays of these names that `write` left at `path`; None if there are none to be had."""
    try:
        with path.open('rb') as file:
            _check(file, path)
            with np.load(file, allow_pickle=False) as arrays:
                return [arrays[name] for name in names]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        # What a damaged file makes a reader raise is not known, and any of it means the same.
        warn(f'{path} cannot be read, and is made again: {error}')
        return None


def _check(file: BinaryIO, path: pathlib.Path) -> None:
    """Raises unless the file ends in the hash of its name and of all before; goes to its start."""
    size = file.seek(0, os.SEEK_END) - HASH
    file.seek(max(size, 0))
    if file.read() != _digest(file, size, path):
        raise ValueError('it is not what was written')
    file.seek(0)


def _digest(file: BinaryIO, size: int, path: pathlib.Path) -> bytes:
    """The hash of a file's name and its first `size` bytes."""
    digest = hashlib.sha256(path.name.encode())
    file.seek(0)
    while size > 0:
        size -= len(block := file.read(min(size, 2**20)))
        if not block:
            break
        digest.update(block)
    return digest.digest()


def write(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes arrays to `path`, whole or not at all.

    After the npz comes a hash of the file's name and of all before, which readers of npz skip.
    """
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'w+b') as file:
            np.savez(file, **arrays)
            digest = _digest(file, file.seek(0, os.SEEK_END), path)
            file.seek(0, os.SEEK_END)
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        disk.sync(path.parent)
    except OSError as error:
        warn(f'{path} cannot be kept, and is made each time: {error}')
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
