"""Reads the official ModelNet-C: `clean.h5` and `NAME_LEVEL.h5`, LEVEL 0 to 4, in one folder.

Clouds of a file have as many points as the corruption left: 256 to 1,524 in all.
"""

import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import checks
from point_ft_jax.data.datasets.modelnet40 import CLASSES
from point_ft_jax.data.files import h5
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.precision import to_float32
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.corruptions.modelnet_c import CORRUPTIONS

LEVELS = (0, 1, 2, 3, 4)
COUNT = 2468  # clouds a file


def read(
    root: str, name: str = 'clean', level: int | None = None, *, official: bool = True
) -> Split:
    """One file of ModelNet-C as it is: nothing is normalised or resampled.

    Args:
        root: the folder of the files, or the one above it (modelnet_c).
        name: 'clean', or one of the seven corruptions.
        level: 0 to 4; None for 'clean'.
        official: whether the file must have the release's 2,468 clouds.

    Raises:
        UserError: an unknown name or level; a missing, damaged or different file; NaN, a wrong
            shape, label or count.
    """
    path = _folder(root) / f'{_stem(name, level)}.h5'
    points, labels = h5.read(path)
    problems = checks.problems(points, labels, CLASSES, complete=official)
    if official and len(points) != COUNT:
        problems.append(f'{len(points):,} clouds; the release has {COUNT:,}: download it again')
    raise_all(problems, f'{path} is no file of ModelNet-C:')
    return Split(to_float32(points), labels.astype(np.int32), CLASSES)


def check(root: str) -> pathlib.Path:
    """The folder; UserError with every file that is missing from it."""
    folder = _folder(root)
    stems = ['clean', *(_stem(name, level) for name in CORRUPTIONS for level in LEVELS)]
    missing = [f'{stem}.h5' for stem in stems if not (folder / f'{stem}.h5').is_file()]
    if missing:
        raise UserError(
            f'{folder} lacks {len(missing)} of the 36 files of ModelNet-C: '
            f'{some(missing)}; {h5.listing(folder)}'
        )
    return folder


def _stem(name: str, level: int | None) -> str:
    problems = []
    if name not in ('clean', *CORRUPTIONS):
        problems.append(f'no file of {name!r}; there are clean, {", ".join(CORRUPTIONS)}')
    elif (level is None) != (name == 'clean') or level not in (None, *LEVELS):
        expected = 'None' if name == 'clean' else '0 to 4'
        problems.append(f'level of {name} is {level!r}; expected {expected}')
    raise_all(problems, 'ModelNet-C has one file a corruption and level:')
    return name if level is None else f'{name}_{level}'


def _folder(root: str) -> pathlib.Path:
    base = existing_root(root)
    below = base / 'modelnet_c'
    return below if below.is_dir() else base
