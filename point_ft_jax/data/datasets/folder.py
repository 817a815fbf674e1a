"""Clouds of one's own: two h5 files, or one file a cloud in one folder a class.

Four layouts, recognised by what is there:

    root/train.h5, root/test.h5         `data` [S, N, 3 or more], `label` [S]; root/shape_names.txt
    root/{train,test}/<class>/<cloud>   in any of the formats of files/points.py
    root/<class>/<cloud>                divided here, by the names of the clouds
    root.h5, root.npz                   a file that `point-ft convert` made of any of these

Classes of folders are labelled in alphabetical order. What else lies there is left alone: clouds,
meshes and lists with a warning, other files with a count by check_data.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import _class_folders, _h5_folder
from point_ft_jax.data.datasets._options import SPLITS, check_folder_options
from point_ft_jax.data.datasets._raw import Raw
from point_ft_jax.data.files import h5 as _h5
from point_ft_jax.data.files import mesh, packed
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.channels import expand
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import same_size, unit_sphere
from point_ft_jax.data.precision import to_float32
from point_ft_jax.data.split import Split

LAYOUTS = {
    'h5': 'train.h5 and test.h5',
    'split': 'train/<class>/ and test/<class>/',
    'packed': 'a packed data set',
    'classes': '<class>/, divided by test_fraction, seed and the names of the clouds',
}


def load(
    split: str,
    *,
    root: str,
    num_points: int | None = None,
    fewest: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = False,
    nonfinite: str = 'refuse',
    unreadable: str = 'refuse',
    channels: Sequence[str] = (),
) -> Split:
    """A split of a folder of labelled clouds.

    Args:
        split: 'train' or 'test'. A class may lack clouds in 'test', not in 'train'.
        root: the folder, or a file that `point-ft convert` wrote.
        num_points: the points kept of every cloud, drawn without replacement and the same in every
            run, those of smaller clouds repeated, with a warning; None for as many as the smallest
            cloud of both splits has, or `fewest`.
        fewest: so many points are kept at least; of run.py as many as the model takes.
        test_fraction: the share of the clouds that is tested on, where the folder has no split. On
            which side a cloud is depends on its class, its name and the seed alone, so that no
            cloud changes sides when others are added. (It once depended on the number of files:
            runs of that time had other sides.)
        seed: draws the split and the points.
        normalize: whether each cloud is centred and scaled to the unit sphere.
        nonfinite: 'refuse' clouds with points that are NaN or infinite, or 'drop' these points.
        unreadable: 'refuse' a folder with files that cannot be read, or 'skip' these files.
        channels: what to read of a point beside its place, by name: 'color', 'normal', 'intensity'
            and others, see `files.channels.read`; of an h5 file the arrays of these names.

    Raises:
        UserError: no layout or two of them, files that cannot be read, wrong values or
            labels.
    """
    check_folder_options(split, num_points, fewest, test_fraction, seed, nonfinite, unreadable)
    asked = SPLITS if num_points is None else (split,)
    surface = max(num_points or 0, fewest)
    found = _read(root, surface, test_fraction, seed, nonfinite, unreadable, channels, asked)
    found.warn(found.few(num_points, fewest))
    return _split(split, found, found.size(num_points, fewest), seed, normalize, expand(channels))


def load_splits(**options: Any) -> dict[str, Split]:
    """Both splits, drawn in one reading of the folder; the options are those of `load`."""
    splits, found, few = _both(**options)
    found.warn(few)
    return splits


def raw(
    *,
    root: str,
    num_points: int | None = None,
    fewest: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = False,
    nonfinite: str = 'refuse',
    unreadable: str = 'refuse',
    channels: Sequence[str] = (),
) -> Raw:
    """The clouds of both splits as their files hold them; options as of `load`."""
    check_folder_options('train', num_points, fewest, test_fraction, seed, nonfinite, unreadable)
    surface = max(num_points or 0, fewest)
    return _read(root, surface, test_fraction, seed, nonfinite, unreadable, channels, SPLITS)


def examine(**options: Any) -> tuple[dict[str, Split], list[str]]:
    """Both splits, and what is odd about their files as they are; options as of `load`."""
    splits, found, few = _both(**options)
    return splits, [*found.judged(), *few]


def is_test_alone(*, root: str, **_: Any) -> bool:
    """Whether a folder has clouds to test on and none to train on, in h5 files or folders."""
    path = pathlib.Path(root).expanduser()
    if not path.is_dir():
        return False
    return {*_h5_folder.files(path), *_class_folders.split_folders(path)} == {'test'}


def load_test(
    classes: Sequence[str],
    *,
    root: str,
    num_points: int | None = None,
    fewest: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = False,
    nonfinite: str = 'refuse',
    unreadable: str = 'refuse',
    channels: Sequence[str] = (),
) -> Split:
    """The test split alone, for a model that knows its `classes`; other options as of `load`.

    Raises:
        UserError: as `load`; a class that the model does not know.
    """
    check_folder_options('test', num_points, fewest, test_fraction, seed, nonfinite, unreadable)
    found = _read(
        *(root, max(num_points or 0, fewest), test_fraction, seed, nonfinite, unreadable, channels),
        ('test',),
        classes,
    )
    found.warn(found.few(num_points, fewest))
    return _split('test', found, found.size(num_points, fewest), seed, normalize, expand(channels))


def _both(
    *,
    num_points: int | None = None,
    fewest: int = 0,
    seed: int = 0,
    normalize: bool = False,
    **options: Any,
) -> tuple[dict[str, Split], Raw, list[str]]:
    """Both splits, what they were made of, and what to say of few points."""
    found = raw(num_points=num_points, fewest=fewest, seed=seed, **options)
    size, names = found.size(num_points, fewest), found.channels
    splits = {s: _split(s, found, size, seed, normalize, names) for s in SPLITS}
    return splits, found, found.few(num_points, fewest)


def describe(split: str, *, root: str, **_: Any) -> str:
    """One line on what is found for a split: the folder and its layout."""
    base, layout = _layout(root)
    return f'{base}, {LAYOUTS[layout]}'


def _layout(root: str) -> tuple[pathlib.Path, str]:
    if packed.is_packed(pathlib.Path(root).expanduser()):
        return pathlib.Path(root).expanduser(), 'packed'
    base = existing_root(root)
    h5, divided = bool(_h5_folder.files(base)), bool(_class_folders.split_folders(base))
    if h5 and divided:
        raise UserError(f'{base} holds both h5 files and folders of a split; keep one of them')
    if h5 or divided:
        return base, 'h5' if h5 else 'split'
    if not _class_folders.folders(base):
        layouts = '; or '.join(LAYOUTS.values())
        raise UserError(f'no clouds in {base}: {_h5.listing(base)}; expected {layouts}')
    return base, 'classes'


def _read(
    root: str,
    surface: int,
    test_fraction: float,
    seed: int,
    nonfinite: str,
    unreadable: str,
    channels: Sequence[str],
    splits: Sequence[str],
    known: Sequence[str] | None = None,
) -> Raw:
    """The clouds of h5 files, of the splits that are asked for; of folders those of both.

    With the names of `known` classes those of test alone.
    """
    base, layout = _layout(root)
    if layout == 'packed':
        return Raw.of_packed(base, expand(channels), nonfinite)
    if layout == 'h5':
        return _h5_folder.read(base, splits, nonfinite, channels, known)

    def read(path: pathlib.Path) -> np.ndarray:
        cloud = point_files.read(path, channels, nonfinite, seed, max(mesh.POINTS, surface))
        return cloud if unreadable == 'refuse' else _class_folders.checked(cloud, path)

    raw = _class_folders.read(base, test_fraction, seed, read, unreadable, expand(channels), known)
    problems = [
        problem
        for split in SPLITS
        for problem in checks.cloud_problems(raw.clouds[split], raw.names[split])
    ]
    raise_all(problems, f'{base} has no sound clouds:')
    return raw


def _split(
    split: str,
    raw: Raw,
    size: int,
    seed: int,
    normalize: bool,
    channels: tuple[str, ...],
) -> Split:
    clouds, names = raw.clouds[split], raw.names[split]
    points = same_size(clouds, names, size, seed, repeat=True)
    points = unit_sphere(points) if normalize else to_float32(points, names)
    return Split(points, raw.labels[split], raw.classes, names=tuple(names), channels=channels)
