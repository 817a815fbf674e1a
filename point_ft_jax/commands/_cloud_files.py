"""Clouds from files that a user names: those that can be read, and why the others can't."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import cloud_problems
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.inventory import is_system


@dataclasses.dataclass(frozen=True)
class CloudFiles:
    """Files of clouds.

    Attributes:
        files: those that were read.
        clouds: of each [N, 3 + F], in the precision of its file.
        unreadable: the others, each with the reason.
    """

    files: Sequence[pathlib.Path]
    clouds: Sequence[np.ndarray]
    unreadable: dict[str, str]

    def complaint(self) -> str:
        """What to say of the files that were not read; '' if all were."""
        if not self.unreadable:
            return ''
        total = len(self.files) + len(self.unreadable)
        lines = [f'  - {problem}' for problem in self.unreadable.values()]
        heading = f'{len(self.unreadable):,} of {total:,} files cannot be used and are left out:'
        return '\n'.join([heading, *lines])


def find(paths: Sequence[str]) -> list[pathlib.Path]:
    """The cloud files that `paths` name, those in folders, and in folders below, sorted by name.

    Files whose names begin with a dot are left out, and text files without a line of numbers.

    Raises:
        UserError: a path that does not exist, or a folder without a cloud.
    """
    found: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = [p for p in sorted(path.rglob('*')) if _is_inside(p, path)]
            if not inside:
                raise UserError(
                    f'{path} has no cloud: expected files that end in '
                    f'{", ".join(point_files.READERS)}'
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f'no file {path}')
    return found


def read(files: Sequence[pathlib.Path], channels: Sequence[str] = (), **options: Any) -> CloudFiles:
    """The clouds of files, after the checks of training; other options are of `points.read`.

    Raises:
        UserError: none of them can be used; the message says why of each.
    """
    kept, clouds, unreadable = [], [], {}
    for path in files:
        try:
            cloud = point_files.read(path, channels, **options)
            raise_all(cloud_problems([cloud], [str(path)]), f'{path} is no sound cloud:')
        except UserError as error:
            unreadable[str(path)] = str(error)
        else:
            kept.append(path)
            clouds.append(cloud)
    if not kept:
        raise_all([*unreadable.values()], 'these clouds cannot be used:')
    return CloudFiles(kept, clouds, unreadable)


def _is_inside(file: pathlib.Path, folder: pathlib.Path) -> bool:
    hidden = any(map(is_system, file.relative_to(folder).parts))
    return not hidden and point_files.is_cloud(file)
