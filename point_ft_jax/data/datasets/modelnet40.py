"""ModelNet40 as points, in either of its two releases: 40 classes of CAD models.

`hdf5_2048` is modelnet40_ply_hdf5_2048: 2,048 points a cloud in h5 files, 9,840 clouds to train on.
`normal_resampled` is modelnet40_normal_resampled: 10,000 points a cloud in text files, reduced to
8,192 by farthest-point sampling; 9,843 clouds. Both have 2,468 clouds to test on.
"""

import pathlib
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import _modelnet40_text, _releases
from point_ft_jax.data.datasets._options import SPLITS, check_choice, read_names
from point_ft_jax.data.files import h5
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.shared_classes import only_shared
from point_ft_jax.data.split import Split

CLASSES = (
    *('airplane', 'bathtub', 'bed', 'bench', 'bookshelf', 'bottle', 'bowl', 'car', 'chair', 'cone'),
    *('cup', 'curtain', 'desk', 'door', 'dresser', 'flower_pot', 'glass_box', 'guitar', 'keyboard'),
    *('lamp', 'laptop', 'mantel', 'monitor', 'night_stand', 'person', 'piano', 'plant', 'radio'),
    *('range_hood', 'sink', 'sofa', 'stairs', 'stool', 'table', 'tent', 'toilet', 'tv_stand'),
    *('vase', 'wardrobe', 'xbox'),
)
COUNTS = {'train': (9840, 9843), 'test': (2468,)}  # releases differ by three clouds
FORMS = {'hdf5_2048': 'modelnet40_ply_hdf5_2048', 'normal_resampled': 'modelnet40_normal_resampled'}
MARKS = {'hdf5_2048': 'ply_data_*.h5', 'normal_resampled': 'modelnet40_shape_names.txt'}
POINTS = {'hdf5_2048': 2048, 'normal_resampled': 8192}


def load(
    split: str,
    *,
    root: str,
    form: str = 'auto',
    num_points: int | None = None,
    official: bool = True,
    shared: str | None = None,
) -> Split:
    """A split of ModelNet40, every cloud centred and scaled to the unit sphere, normals dropped.

    Args:
        split: 'train' or 'test'.
        root: the folder of a release, or the one above it.
        form: 'hdf5_2048', 'normal_resampled', or 'auto' for the one that is found.
        num_points: for normal_resampled, the points a cloud is reduced to (8,192 by default). The
            published cache for that number is read if it is there (without running its code);
            else one is made, beside the text files or in the user's cache folder.
        official: whether classes and counts must be those of a release.
        shared: 'scan11' for the clouds of the 11 classes that ScanObjectNN has too, under its
            names; see `data.shared_classes`.

    Raises:
        UserError: no release or two of them; a missing, damaged or different file; NaN, a wrong
            shape, label or count.
    """
    form, folder = _find(split, root, form)
    if num_points is not None and num_points < 1:
        raise UserError(f'num_points is {num_points}; expected 1 or more')
    if form == 'hdf5_2048':
        if num_points is not None:
            raise UserError(
                f'num_points={num_points} with hdf5_2048, whose clouds have 2,048 points; leave it '
                'out (training subsamples by itself)'
            )
        points, labels = h5.read_all(_h5_files(split, folder))
        classes = _names(folder / 'shape_names.txt', official) or CLASSES
    else:
        classes = _names(folder / 'modelnet40_shape_names.txt', official)
        points, labels = _modelnet40_text.read(split, folder, classes, num_points or POINTS[form])
    problems = checks.problems(points, labels, classes)
    if official and len(points) not in COUNTS[split]:
        counts = ' or '.join(f'{count:,}' for count in COUNTS[split])
        problems.append(
            f'{len(points):,} clouds; the releases have {counts}; download it again, or for data '
            'of your own use the plug-in `folder`, or official=False for a changed release '
            '(--config.data.official=False)'
        )
    raise_all(problems, f'{folder} is not the {split} split of ModelNet40 ({form}):')
    return only_shared(Split(unit_sphere(points), labels.astype(np.int32), classes), shared)


def describe(
    split: str,
    *,
    root: str,
    form: str = 'auto',
    num_points: int | None = None,
    official: bool = True,
    **_: Any,
) -> str:
    """One line on what is found for a split: release, folder, and files or cache."""
    form, folder = _find(split, root, form)
    if form == 'hdf5_2048':
        what = f'{len(_h5_files(split, folder))} h5 files'
    else:
        what = _modelnet40_text.describe(split, folder, num_points or POINTS[form])
    kind = 'official counts' if official else 'counts not checked'
    return f'ModelNet40 {form} ({kind}), {folder}, {what}'


def _find(split: str, root: str, form: str) -> tuple[str, pathlib.Path]:
    """The release, and the folder it is in."""
    check_choice('split', split, SPLITS)
    return _releases.find('ModelNet40', root, form, FORMS, MARKS)


def _h5_files(split: str, folder: pathlib.Path) -> list[pathlib.Path]:
    files = sorted(folder.glob(f'ply_data_{split}*.h5'))
    if not files:
        raise UserError(f'no file ply_data_{split}*.h5 in {folder}; {h5.listing(folder)}')
    return files


def _names(path: pathlib.Path, official: bool) -> tuple[str, ...]:
    """The class names of a file, a line each; () if there is none."""
    if not path.is_file():
        return ()
    names = read_names(path)
    if official and names != CLASSES:
        differ = sorted(set(names) ^ set(CLASSES))
        raise UserError(
            f'{path} names {len(names)} classes that are not the 40 of ModelNet40 in their order'
            + (f' (differing: {checks.some(differ)})' if differ else '')
            + '; download it again, or set official=False (--config.data.official=False) for '
            'classes of your own'
        )
    return names
