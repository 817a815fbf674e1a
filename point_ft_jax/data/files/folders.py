"""Folders that a user names."""

import pathlib

from point_ft_jax.core.errors import UserError


def existing_root(root: str) -> pathlib.Path:
    """The folder `root`, with ~ expanded.

    Raises:
        UserError: there is no such folder; the message names the nearest one that exists.
    """
    if not isinstance(root, str | pathlib.Path) or not str(root):
        raise UserError(f'root is {root!r}; expected the folder of the data set')
    path = pathlib.Path(root).expanduser()
    if path.is_file():
        raise UserError(f'root {path} is a file; expected the folder of the data set')
    if not path.is_dir():
        nearest = next(parent for parent in path.absolute().parents if parent.is_dir())
        raise UserError(
            f'no folder {path} (the nearest that exists is {nearest}); '
            'set root to the folder of the data set'
        )
    return path
