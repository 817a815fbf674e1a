"""Arrays in one .npz file, and after it a hash, which readers of .npz skip.

The hash is of the file's name and of all before it. Where a file of an older version ends with its
archive, the archive's own checksums are all that there is.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from point_ft_jax.core import disk
from point_ft_jax.core.errors import UserError

HASH = 32  # bytes
END, END_SIZE = b'PK\x05\x06', 22  # what an archive ends with


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], packed: bool = False) -> None:
    """Writes arrays by name, the same ones to the same bytes, whole or not at all.

    Args:
        path: the file; its folder exists.
        arrays: of numbers and texts.
        packed: whether they are compressed.

    Raises:
        OSError: as `open`.
    """
    with disk.replacing(path) as file:
        (np.savez_compressed if packed else np.savez)(file, **arrays)
        digest = _digest(file, file.seek(0, os.SEEK_END), path)
        file.seek(0, os.SEEK_END)
        file.write(digest)


def read(path: pathlib.Path, unsigned: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Args:
        path: of the file.
        unsigned: whether a file without a hash is taken as it is.

    Raises:
        UserError: it is not what was written, or it cannot be read.
        OSError: as `open`.
    """
    with path.open('rb') as file:
        size = file.seek(0, os.SEEK_END)
        signed = not unsigned or not _read(file, size - END_SIZE).startswith(END)
        if signed and _read(file, size - HASH) != _digest(file, size - HASH, path):
            raise UserError(f'{path} is not what was written: it was damaged, or renamed')
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except Exception as error:  # what a damaged file makes a reader raise is not known
            raise UserError(f'{path} cannot be read ({disk.one_line(error)})') from None


def _read(file: BinaryIO, start: int) -> bytes:
    """What a file holds from a place on."""
    file.seek(max(start, 0))
    return file.read()


def _digest(file: BinaryIO, size: int, path: pathlib.Path) -> bytes:
    """The hash of a file's name and of its first `size` bytes."""
    digest = hashlib.sha256(path.name.encode())
    file.seek(0)
    while size > 0 and (block := file.read(min(size, 2**20))):
        size -= len(block)
        digest.update(block)
    return digest.digest()
