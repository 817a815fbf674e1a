"""Folders that a user names, and what lies below them."""

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


def below(base: pathlib.Path, name: str, depth: int = 4) -> list[pathlib.Path]:
    """What has a name, in whatever capitals, up to `depth` folders below a folder; nearest first.

    Args:
        base: the folder.
        name: of a file, with the folders that it lies in, or a pattern of such names.
        depth: how far it is looked for.
    """
    pattern = ''.join(f'[{c.lower()}{c.upper()}]' if c.isalpha() else c for c in name)
    return [
        path for level in range(depth + 1) for path in sorted(base.glob('*/' * level + pattern))
    ]
