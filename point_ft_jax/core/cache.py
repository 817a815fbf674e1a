"""Where on disk is kept what takes long to make, and how arrays are kept there.

Nothing depends on it: what cannot be kept, or be read again, is made again, and a warning says so.
"""

import os
import pathlib
import tempfile

import numpy as np

from point_ft_jax.core import array_file
from point_ft_jax.core.errors import warn


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
        arrays = array_file.read(path)
        return [arrays[name] for name in names]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        # What a disk makes a reader raise is not known, and any of it means the same.
        warn(f'{path} cannot be read, and is made again: {error}')
        return None


def write(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Writes arrays to `path`, whole or not at all; see `array_file`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        array_file.write(path, arrays)
    except OSError as error:
        warn(f'{path} cannot be kept, and is made each time: {error}')
