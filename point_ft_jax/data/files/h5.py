"""Clouds and labels of HDF5 files, with an error that says what is wrong with a file."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import some

KEYS = ('data', 'label')


def read(path: pathlib.Path, keys: Sequence[str] = KEYS) -> tuple[np.ndarray, ...]:
    """The arrays of one file as they are, but [S, 1] (labels) as [S].

    Raises:
        UserError: no file, no HDF5, a damaged file, a key that is missing.
    """
    with _opened(path, keys) as file:
        arrays = [np.asarray(file[key][()]) for key in keys]
    return tuple(a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in arrays)


def keys(path: pathlib.Path) -> list[str]:
    """The names of what a file holds; errors as `read`."""
    with _opened(path, ()) as file:
        return list(file)


def read_all(paths: Sequence[pathlib.Path], keys: Sequence[str] = KEYS) -> tuple[np.ndarray, ...]:
    """The arrays of several files, one after the other.

    Raises:
        UserError: what is wrong with any of the files, or files that do not fit together.
    """
    arrays, problems = [], []
    for path in paths:
        try:
            arrays.append(read(path, keys))
        except UserError as error:
            problems.append(str(error))
    shapes = [[a.shape[1:] for a in found] for found in arrays]
    for key, found in zip(keys, zip(*shapes, strict=True), strict=False):
        if len(set(found)) > 1:
            what = 'clouds' if key == 'data' else key
            shown = some(sorted(set(found)))
            problems.append(f'the files do not fit together: {what} of shapes {shown}')
    raise_all(problems, 'these files cannot be read:')
    return tuple(np.concatenate(parts) for parts in zip(*arrays, strict=True))


def listing(folder: pathlib.Path) -> str:
    """What there is in a folder, to put into a message."""
    if not folder.is_dir():
        return f'there is no folder {folder}'
    entries = sorted(
        entry.name + ('/' if entry.is_dir() else '')
        for entry in folder.iterdir()
        if not entry.name.startswith('.')
    )
    return f'{folder} holds {some(entries, 12) or "nothing"}'


@contextlib.contextmanager
def _opened(path: pathlib.Path, keys: Sequence[str]) -> Iterator[h5py.File]:
    if not path.is_file():
        raise UserError(f'no file {path}; {listing(path.parent)}')
    try:
        with h5py.File(path) as file:
            missing = [key for key in keys if not getattr(file.get(key), 'shape', ())]
            if missing:
                raise UserError(
                    f'{path} has no array {some(missing)}; found the keys '
                    f'{some(file, 12) or "(none)"}, expected {some(keys)}'
                )
            yield file
    except PermissionError as error:
        raise UserError(f'{path} may not be read ({error})') from None
    except OSError as error:
        raise UserError(f'{path} is {_guess(path, error)}') from None


def _guess(path: pathlib.Path, error: Exception) -> str:
    """What a file is that HDF5 refuses, from its first bytes."""
    start = path.read_bytes()[:200].lstrip()
    if not start:
        return 'an empty file; download it again'
    if start[:1] == b'<':
        return 'an HTML page, not HDF5: the download got a web page; download it again'
    if start.startswith(b'version https://git-lfs'):
        return 'a Git LFS pointer, not HDF5; fetch the file itself with `git lfs pull`'
    if start.startswith((b'PK\x03\x04', b'\x1f\x8b')):
        return 'an archive, not HDF5; unpack it'
    if start.startswith(b'\x89HDF'):
        return f'a damaged HDF5 file ({error}); download it again'
    return 'no HDF5 file; expected an .h5 file with the arrays data and label'
