"""What takes long to make is kept on disk: where, and how arrays are."""

import os
import pathlib
import tempfile
import warnings
import zipfile

import numpy as np

from point_ft_jax.errors import UserError


def folder() -> pathlib.Path:
    """point_ft_jax in the user's cache folder, $XDG_CACHE_HOME or ~/.cache; it may not exist."""
    caches = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    return pathlib.Path(caches, 'point_ft_jax')


def read(path: pathlib.Path, *names: str) -> list[np.ndarray] | None:
    """The arrays of these names that `write` left at `path`, or None if it left nothing.

    Raises:
        UserError: a file that cannot be read, or is not such a file.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f'the cache {path} is damaged ({error}); delete it to have it made again'
        ) from None


def write(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes arrays whole or not at all; warns where that cannot be, since nothing needs it."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix='.tmp')
        with os.fdopen(handle, 'wb') as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        warnings.warn(f'{path} is not kept, and made anew each time: {error}', stacklevel=2)
