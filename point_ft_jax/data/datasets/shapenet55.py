"""ShapeNet-55 as points: 52,470 CAD models of 55 classes, what the published backbones know.

The layout is that of the release with Point-BERT: `ShapeNet-55/train.txt` and `test.txt` list
files, a line each, `<synset>-<model>.npy`, and `shapenet_pc/` holds them, 8,192 points each.
"""

import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets._options import SPLITS, check_choice, read_names
from point_ft_jax.data.files import npy
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.precision import centred
from point_ft_jax.data.shared_classes import only_shared
from point_ft_jax.data.split import Split

COUNTS = {'train': 41_952, 'test': 10_518}
LISTS = ('ShapeNet-55', '.')  # folders, below the root, that the lists may be in


def load(
    split: str,
    *,
    root: str,
    num_points: int | None = None,
    whole: bool = False,
    official: bool = True,
    shared: str | None = None,
) -> Split:
    """A split of ShapeNet-55, every cloud centred and scaled to the unit sphere.

    It takes 4 GiB of memory with all points. The classes are the synsets, in their order.

    Args:
        split: 'train' or 'test'.
        root: the folder with `ShapeNet-55/` and `shapenet_pc/`.
        num_points: keep the first so many points of every file, whose order is random; all of them
            by default.
        whole: give the clouds of both lists as 'train', as ACT and Point-BERT pre-train.
        official: whether counts must be those of the release.
        shared: 'scan9' for the clouds of 9 classes that ScanObjectNN has too, under its names; see
            `data.shared_classes`.

    Raises:
        UserError: a missing list or file, one that holds no cloud, a different count or size, NaN;
            all problems at once.
    """
    check_choice('split', split, SPLITS)
    base = existing_root(root)
    lists = {name: _names(base, name) for name in SPLITS}
    synsets = sorted({_synset(file) for names in lists.values() for file in names})
    names = [*lists['train'], *lists['test']] if whole and split == 'train' else lists[split]
    expected = sum(COUNTS.values()) if whole and split == 'train' else COUNTS[split]
    if official and len(names) != expected:
        raise UserError(
            f'{base}: the list of {split} has {len(names):,} clouds; the release has {expected:,}. '
            'Get it again, or set official=False (--config.data.official=False) for a part of it'
        )
    points = _read(base / 'shapenet_pc', names, num_points)
    labels = np.array([synsets.index(_synset(name)) for name in names], np.int32)
    problems = checks.problems(points, labels, synsets, complete=False)
    raise_all(problems, f'{base} is not the {split} split of ShapeNet-55:')
    return only_shared(Split(unit_sphere(points), labels, tuple(synsets)), shared)


def _names(base: pathlib.Path, split: str) -> tuple[str, ...]:
    """The files of a list."""
    for folder in LISTS:
        if (path := base / folder / f'{split}.txt').is_file():
            return read_names(path)
    raise UserError(f'no {split}.txt in {base / LISTS[0]}; expected the list of its clouds there')


def _synset(name: str) -> str:
    return name.split('-')[0]


def _read(folder: pathlib.Path, names: tuple[str, ...], num_points: int | None) -> np.ndarray:
    """The clouds [S, N, 3] float32 of files in a folder."""
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(
            f'{folder} lacks {len(missing):,} of {len(names):,} listed clouds: '
            f'{checks.some(missing)}'
        )
    clouds, problems = [], []
    for name in names:
        try:
            cloud = npy.read(folder / name)
        except UserError as error:
            problems.append(f'{name}: not a numpy file ({error})')
            continue
        wrong = cloud.ndim != 2 or cloud.shape[1] < 3 or checks.is_turned(cloud.shape)
        if wrong or cloud.dtype.kind != 'f':
            problems.append(f'{name}: {cloud.dtype} {cloud.shape}; expected floats [points, 3]')
        elif num_points is not None and len(cloud) < num_points:
            problems.append(f'{name}: {len(cloud)} points, and num_points is {num_points}')
        elif clouds and len(cloud[:num_points]) != len(clouds[0]):
            problems.append(f'{name}: {len(cloud)} points, the first has {len(clouds[0])}')
        else:
            cloud = cloud[:num_points, :3]
            # Centred at once where need be: all of them in float64 would take twice the memory.
            clouds.append(np.asarray(centred(cloud) if cloud.itemsize > 4 else cloud, np.float32))
    shown = problems[:10] + ([f'and {len(problems) - 10} more'] if len(problems) > 10 else [])
    raise_all(shown, f'{folder} has files that are no clouds:')
    return np.stack(clouds)
