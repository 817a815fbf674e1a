"""Clouds and labels of HDF5 files, with an error that says what is wrong with a file."""

import contextlib
import math
import pathlib
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import some
from point_ft_jax.data.files import npy

KEYS = ('data', 'label')
UNPACKED = 'packed by a filter that is not installed; import hdf5plugin, or write it with gzip'
# What HDF5 says of a file that may be sound, and what it means.
REASONS = {
    'unable to lock': 'open in another program that writes it, or on a disk that cannot lock '
    'files; try again when that has ended, or set HDF5_USE_FILE_LOCKING=FALSE',
    'already open': 'open in another program that writes it, or was copied while it was; end that '
    'and copy it again, or clear the mark with `h5clear -s`',
    'superblock version': 'of a newer version of HDF5 than the one installed here, or damaged; '
    'update h5py, or write it with an older version',
    'truncated file': 'cut off: its end is missing; copy or download it again',
    'is not registered': UNPACKED,
    "can't open directory": UNPACKED,  # where such filters are looked for
    **dict.fromkeys(
        ('Input/output error', 'Stale file handle', 'Connection timed out', 'not connected'),
        'on a disk that does not answer; look after the disk or its network, and try again',
    ),
    'Cannot allocate memory': 'more than there is memory for; end other programs',
    'version number': 'of a newer version of HDF5 than the one installed here, still being '
    'written, or damaged; update h5py, or copy or download it again',
    'Too many open files': 'one of too many open files; end other programs, or raise `ulimit -n`',
}


def read(path: pathlib.Path, keys: Sequence[str] = KEYS) -> tuple[np.ndarray, ...]:
    """The arrays of one file as they are, but [S, 1] (labels) as [S].

    Raises:
        UserError: no file, no HDF5, a damaged file, a key that is missing.
    """
    found = arrays(path, keys)
    return tuple(a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in found)


def arrays(path: pathlib.Path, keys: Sequence[str]) -> list[np.ndarray]:
    """The arrays of one file as they are; errors as `read`.

    An array is refused whose values lie in another file, or that says that it holds far more than
    the file does.
    """
    with _opened(path, keys) as file:
        return [np.asarray(_own(file, key, path)[()]) for key in keys]


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
        what = 'a folder' if path.is_dir() else 'a link that leads nowhere'
        known = path.is_dir() or path.is_symlink()
        raise UserError(f'{path} is {what}' if known else f'no file {path}; {listing(path.parent)}')
    try:
        with h5py.File(path, 'r') as file:
            for key in keys:
                _check_link(file, key, path)
            missing = [key for key in keys if not getattr(file.get(key), 'shape', ())]
            if missing:
                raise UserError(
                    f'{path} has no array {some(missing)}; found the keys '
                    f'{some(file, 12) or "(none)"}, expected {some(keys)}'
                )
            yield file
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f'{path} may not be read ({error})') from None
    # What HDF5 makes of a damaged file can be any exception.
    except Exception as error:
        raise UserError(f'{path} is {_guess(path, error)}') from None


def _check_link(file: h5py.File, key: str, path: pathlib.Path) -> None:
    """Raises a `UserError` where a name leads to another place, before it is followed."""
    link = file.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise UserError(
            f'{path} has no {key} of its own: it is a link to {link.filename[:200]!r}, which is '
            'not followed; copy the array into the file'
        )
    if isinstance(link, h5py.SoftLink):
        raise UserError(
            f'{path} has no {key} of its own: it is a link to {link.path[:200]!r}, which is not '
            f'followed; name the array itself {key}'
        )


def _own(file: h5py.File, key: str, path: pathlib.Path) -> h5py.Dataset:
    """The array of a name, whose values lie in the file itself, in proportion to its size."""
    array = file[key]
    if array.external or array.is_virtual:
        raise UserError(
            f'{path} keeps the values of {key} in other files, which are not read; copy them into '
            'the file'
        )
    if array.dtype.kind not in 'biufSU':
        raise UserError(
            f'{path} has {key} of {str(array.dtype)[:80]}; expected numbers'
            f'{npy.of_records(array.dtype)}'
        )
    npy.check_unpacked(
        max(array.nbytes, math.prod(array.chunks or ()) * array.dtype.itemsize), path
    )
    return array


def _guess(path: pathlib.Path, error: Exception) -> str:
    """What a file is that HDF5 refuses, from its first bytes."""
    problem = str(error)[:200]
    for part, meaning in REASONS.items():
        if part in problem:
            return f'{meaning} ({problem})'
    with path.open('rb') as stream:
        start = stream.read(200).lstrip()
    if not start:
        return 'an empty file; download it again'
    if start[:1] == b'<':
        return 'an HTML page, not HDF5: the download got a web page; download it again'
    if start.startswith(b'version https://git-lfs'):
        return 'a Git LFS pointer, not HDF5; fetch the file itself with `git lfs pull`'
    if start.startswith((b'PK\x03\x04', b'\x1f\x8b')):
        return 'an archive, not HDF5; unpack it'
    if start.startswith(b'\x89HDF'):
        return f'a damaged HDF5 file ({problem}); download it again'
    return 'no HDF5 file; expected an .h5 file with the arrays data and label'
