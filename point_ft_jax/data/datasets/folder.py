"""Clouds of one's own: two h5 files, or one file a cloud in one folder a class.

Three layouts, recognised by what is there:

    root/train.h5, root/test.h5         `data` [S, N, 3 or more], `label` [S]; root/shape_names.txt
    root/{train,test}/<class>/<cloud>   .npy .npz .ply .txt .xyz .pts .csv
    root/<class>/<cloud>                divided here, class by class

Classes of folders are labelled in alphabetical order. Files with other endings are left alone.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import _class_folders
from point_ft_jax.data.datasets._options import SPLITS, check_folder_options, read_names
from point_ft_jax.data.files import h5 as _h5
from point_ft_jax.data.files.channels import beside, expand
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import same_size, unit_sphere
from point_ft_jax.data.split import Split

LAYOUTS = {
    'h5': 'train.h5 and test.h5',
    'split': 'train/<class>/ and test/<class>/',
    'classes': '<class>/, divided by test_fraction and seed',
}


def load(
    split: str,
    *,
    root: str,
    num_points: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = False,
    channels: Sequence[str] = (),
) -> Split:
    """A split of a folder of labelled clouds.

    Args:
        split: 'train' or 'test'. A class may lack clouds in 'test', not in 'train'.
        root: the folder.
        num_points: the points kept of every cloud, drawn without replacement and the same in every
            run; None for as many as the smallest cloud of both splits has.
        test_fraction: the share of each class that is tested on, where the folder has no split;
            every class keeps at least one cloud on either side.
        seed: draws the split and the points.
        normalize: whether each cloud is centred and scaled to the unit sphere.
        channels: what to read of a point beside its place, by name: 'color', 'normal', 'intensity'
            and others, see `files.channels.read`; of an h5 file the arrays of these names.

    Raises:
        UserError: no layout or two of them, files that cannot be read, clouds of fewer than
            `num_points` points, wrong values or labels.
    """
    check_folder_options(split, num_points, test_fraction, seed)
    base, layout = _layout(root)
    if layout == 'h5':
        points, labels, classes = _read_h5(split, base, num_points, seed, channels)
    else:
        files, classes = _files(base, layout, test_fraction, seed)
        points, labels = _class_folders.read(split, base, files, num_points, seed, channels)
    names = expand(channels)
    complete = split == 'train'
    problems = checks.problems(points, labels, classes, complete, names)
    raise_all(problems, f'{base} has no sound {split} split:')
    points = unit_sphere(points) if normalize else points.astype(np.float32, copy=False)
    return Split(points, labels.astype(np.int32), classes, channels=names)


def describe(
    split: str,
    *,
    root: str,
    num_points: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = False,
    channels: Sequence[str] = (),
) -> str:
    """One line on what is found for a split: the layout, and the files that are left alone."""
    base, layout = _layout(root)
    text = f'{base}, {LAYOUTS[layout]}'
    others = [] if layout == 'h5' else _class_folders.others(base)
    return text + (f'; left alone: {checks.some(others)}' if others else '')


def _layout(root: str) -> tuple[pathlib.Path, str]:
    base = existing_root(root)
    h5 = any((base / f'{split}.h5').is_file() for split in SPLITS)
    divided = any(_class_folders.folders(base / split) for split in SPLITS)
    if h5 and divided:
        raise UserError(f'{base} holds both h5 files and folders of a split; keep one of them')
    if h5 or divided:
        return base, 'h5' if h5 else 'split'
    if not _class_folders.folders(base):
        layouts = '; or '.join(LAYOUTS.values())
        raise UserError(f'no clouds in {base}: {_h5.listing(base)}; expected {layouts}')
    return base, 'classes'


def _files(
    base: pathlib.Path, layout: str, test_fraction: float, seed: int
) -> tuple[_class_folders.Files, tuple[str, ...]]:
    if layout == 'split':
        return _class_folders.divided(base)
    return _class_folders.divide(base, test_fraction, seed)


def _read_h5(
    split: str,
    base: pathlib.Path,
    num_points: int | None,
    seed: int,
    channels: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    paths = [base / f'{name}.h5' for name in SPLITS]
    points, labels, *values = _h5.read(base / f'{split}.h5', (*_h5.KEYS, *channels))
    if points.ndim != 3 or not len(points):
        return points, labels, ()  # the checks say what is wrong
    if num_points is None:
        num_points = min(shape[1] for shape in map(_h5.shape, paths) if len(shape) > 1)
    if points.shape[2] > 3:
        points = points[..., :3]
    if channels:
        points = beside(points, channels, values)
    if num_points != points.shape[1]:
        names = [f'{split}.h5, cloud {index}' for index in range(len(points))]
        points = same_size(points, names, num_points, seed)
    names = base / 'shape_names.txt'
    if names.is_file():
        classes = read_names(names)
    else:
        classes = _numbered(_h5.read(base / 'train.h5')[1])
    return points, labels, classes


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    """Class names for labels without any: '0', '1', ..."""
    if labels.dtype.kind not in 'iu' or not labels.size:
        return ()
    most, largest = 10 * labels.size + 1000, int(labels.max())
    if largest > most:
        raise UserError(
            f'train.h5 has a label of {largest:,} and {labels.size:,} clouds; expected the numbers '
            'of classes, from 0 on'
        )
    return tuple(str(label) for label in range(largest + 1))
