"""Clouds of one's own with a part for every point: one file a cloud, in one folder a class.

    root/{train,test}/<class>/<cloud>   .txt .xyz .pts .csv .npy .ply .pcd .las .laz
    root/<class>/<cloud>                divided here, by the names of the clouds
    root.h5, root.npz                   a file that `point-ft convert` made of these

The first three columns of a file are x, y, z, the last is the part, a whole number from 0; of a
file with names, the part is a property of such a name (`points.PART_NAMES`). The
parts of a class are those that its clouds have; classes may share parts. Clouds in h5 files, and
lists of shapes, are read by `shapenetpart` with `official=False`.
"""

import pathlib
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import _class_folders
from point_ft_jax.data.datasets._options import SPLITS, check_choice, check_folder_options
from point_ft_jax.data.datasets._raw import Raw
from point_ft_jax.data.files import packed
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import same_size, unit_sphere
from point_ft_jax.data.precision import to_float32
from point_ft_jax.data.split import Split


def load(
    split: str,
    *,
    root: str,
    num_points: int | None = None,
    fewest: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = True,
    nonfinite: str = 'refuse',
    unreadable: str = 'refuse',
) -> Split:
    """A split of a folder of clouds with part labels.

    Args:
        split: 'train' or 'test'.
        root: the folder, or a file that `point-ft convert` wrote.
        num_points: the points kept of every cloud, drawn without replacement and the same in every
            run, those of smaller clouds repeated, with a warning; None for as many as the smallest
            cloud of both splits has, or `fewest`.
        fewest: so many points are kept at least; of run.py as many as the model takes.
        test_fraction: the share of the clouds that is tested on, where the folder has no split;
            drawn as `folder.load` does.
        seed: draws the split and the points.
        normalize: whether each cloud is centred and scaled to the unit sphere.
        nonfinite: 'refuse' clouds with points that are NaN or infinite, or 'drop' these points.
        unreadable: 'refuse' a folder with files that cannot be read, or 'skip' these files.

    Raises:
        UserError: no class folders, files that cannot be read, clouds of fewer than `num_points`
            points, wrong values or labels; all files at once.
    """
    check_choice('split', split, SPLITS)
    return load_splits(
        root=root,
        num_points=num_points,
        fewest=fewest,
        test_fraction=test_fraction,
        seed=seed,
        normalize=normalize,
        nonfinite=nonfinite,
        unreadable=unreadable,
    )[split]


def load_splits(**options: Any) -> dict[str, Split]:
    """Both splits, drawn in one reading of the folder; the options are those of `load`."""
    splits, found, few = _both(**options)
    found.warn(few)
    return splits


def examine(**options: Any) -> tuple[dict[str, Split], list[str]]:
    """Both splits, and what is odd about their files as they are; options as of `load`."""
    splits, found, few = _both(**options)
    return splits, [*found.judged(), *few]


def raw(
    *,
    root: str,
    num_points: int | None = None,
    fewest: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = True,
    nonfinite: str = 'refuse',
    unreadable: str = 'refuse',
) -> Raw:
    """The clouds [N, 4] of both splits as their files hold them; options as of `load`."""
    check_folder_options('train', num_points, fewest, test_fraction, seed, nonfinite, unreadable)
    if packed.is_packed(pathlib.Path(root).expanduser()):
        return Raw.of_packed(pathlib.Path(root).expanduser(), ('part',), nonfinite)
    base = existing_root(root)
    if not _class_folders.folders(base):
        raise UserError(
            f'no clouds in {base}; expected train/<class>/ and test/<class>/, or <class>/'
        )
    return _class_folders.read(
        *(base, test_fraction, seed, lambda path: _cloud(path, nonfinite, unreadable)),
        unreadable,
        ('part',),
    )


def _both(
    *,
    num_points: int | None = None,
    fewest: int = 0,
    seed: int = 0,
    normalize: bool = True,
    **options: Any,
) -> tuple[dict[str, Split], Raw, list[str]]:
    """Both splits, what they were made of, and what to say of few points."""
    found = raw(num_points=num_points, fewest=fewest, seed=seed, **options)
    parts, size = _parts(found), found.size(num_points, fewest)
    splits = {split: _split(split, found, parts, size, seed, normalize) for split in SPLITS}
    return splits, found, found.few(num_points, fewest)


def _parts(raw: Raw) -> tuple[tuple[int, ...], ...]:
    """The parts of each class, those that its clouds have."""
    tables = [table for split in SPLITS for table in raw.clouds[split]]
    labels = np.concatenate([raw.labels[split] for split in SPLITS])
    names = [name for split in SPLITS for name in raw.names[split]]
    columns = [table[:, 3] for table in tables]
    found = {
        name: np.unique(
            np.concatenate([c for c, at in zip(columns, labels, strict=True) if at == label])
        )
        for label, name in enumerate(raw.classes)
    }
    whole = {name: ids[ids >= 0] for name, ids in found.items()}
    problems = checks.cloud_problems(tables, names)
    problems += checks.part_problems(columns, labels, names, whole)
    raise_all(problems, f'{raw.base} has no sound clouds with parts:')
    return tuple(tuple(ids.astype(int).tolist()) for ids in found.values())


def _split(
    split: str,
    raw: Raw,
    parts: tuple[tuple[int, ...], ...],
    size: int,
    seed: int,
    normalize: bool,
) -> Split:
    names = raw.names[split]
    table = same_size(raw.clouds[split], names, size, seed, repeat=True)
    points = np.ascontiguousarray(table[..., :3])
    return Split(
        unit_sphere(points) if normalize else to_float32(points, names),
        raw.labels[split],
        raw.classes,
        table[..., 3].astype(np.int32),
        part_names=tuple(f'part {part}' for part in range(1 + max(map(max, parts)))),
        parts=parts,
        names=tuple(names),
    )


def _cloud(path: pathlib.Path, nonfinite: str, unreadable: str) -> np.ndarray:
    """[N, 4] in the precision of the file: x, y, z, part."""
    table = point_files.read_table(path, nonfinite)
    if table.shape[1] < 4:
        raise UserError(
            f'{path}: {table.shape[1]} columns; expected x, y, z first and the part last'
        )
    table = table[:, [0, 1, 2, -1]]
    return table if unreadable == 'refuse' else _class_folders.checked(table, path)
