"""Where on disk is kept what takes long to make, and how arrays are kept there.

Nothing depends on it: what cannot be kept, or be read again, is made anew, and a warning says so.
"""

import contextlib
import os
import pathlib
import tempfile
import uuid
import warnings
import zipfile

import numpy as np


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
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        warnings.warn(f'{path} cannot be read, and is made again: {error}', stacklevel=2)
        return None


def write(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes arrays to `path`, whole or not at all."""
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(f'{path} cannot be kept, and is made each time: {error}', stacklevel=2)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
