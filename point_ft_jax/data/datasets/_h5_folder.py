"""The layout of two h5 files: root/train.h5 and root/test.h5, in whatever capitals."""

import pathlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import checks
from point_ft_jax.data.datasets._options import SPLITS, read_names
from point_ft_jax.data.datasets._raw import Raw
from point_ft_jax.data.files import h5, inventory
from point_ft_jax.data.files.channels import beside, expand

NAMES = 'shape_names.txt'
ENDINGS = ('.h5', '.hdf5')


def files(base: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files of the splits that are there.

    Raises:
        UserError: two files for one split.
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(base.iterdir()):
        split = path.stem.lower()
        if split in SPLITS and path.suffix.lower() in ENDINGS and path.is_file():
            if split in found:
                raise UserError(f'{base} has {found[split].name} and {path.name}; keep one of them')
            found[split] = path
    return found


def read(
    base: pathlib.Path,
    splits: Sequence[str],
    nonfinite: str,
    channels: Sequence[str] = (),
    known: Sequence[str] | None = None,
) -> Raw:
    """The clouds of the splits, with the arrays of the channels beside.

    The classes are those of shape_names.txt, or the `known` ones, or the labels of train.

    Raises:
        UserError: a missing or damaged file, wrong shapes, values or labels.
    """
    paths = {split: base / f'{split}.h5' for split in SPLITS} | files(base)
    found = {split: h5.read(paths[split], (*h5.KEYS, *channels)) for split in splits}
    named = base / NAMES
    if named.is_file():
        classes = read_names(named)
    elif known is not None:
        classes = tuple(known)
    else:
        train = found['train'][1] if 'train' in found else h5.read(paths['train'], ['label'])[0]
        classes = checks.numbered(train, f'{paths["train"].name} has')
    clouds, labels, names = {}, {}, {}
    for split, (points, label, *values) in found.items():
        if points.ndim == 3 and points.shape[2] > 3 and not checks.is_turned(points.shape[1:]):
            points = points[..., :3]
        if channels and points.ndim == 3:
            points = beside(points, channels, values)
        kept = points
        if nonfinite == 'drop' and points.dtype.kind == 'f' and points.ndim == 3:
            finite = np.isfinite(points).all(axis=2)
            clouds[split] = [cloud[rows] for cloud, rows in zip(points, finite, strict=True)]
            kept = np.nan_to_num(points, posinf=0, neginf=0)
        complete = split == 'train'
        problems = checks.problems(kept, label, classes, complete, expand(channels))
        raise_all(problems, f'{base} has no sound {split} split:')
        clouds.setdefault(split, list(points))
        labels[split] = label.astype(np.int32)
        names[split] = [f'{paths[split].name}, cloud {index}' for index in range(len(points))]
        problems = checks.cloud_problems(clouds[split], names[split])
        raise_all(problems, f'{base} has no sound {split} split:')
    unused = inventory.unused(base, [*files(base).values(), *([named] if named.is_file() else [])])
    notes = _other_arrays(files(base), channels)
    return Raw(base, clouds, labels, names, classes, unused, notes, channels=expand(channels))


def _other_arrays(paths: dict[str, pathlib.Path], channels: Sequence[str]) -> list[str]:
    """A sentence for each file on the arrays in it that are not used."""
    found = {
        path.name: [k for k in h5.keys(path) if k not in (*h5.KEYS, *channels)]
        for path in paths.values()
    }
    return [
        f'{name} has arrays that are not used: {some(keys)}' for name, keys in found.items() if keys
    ]
