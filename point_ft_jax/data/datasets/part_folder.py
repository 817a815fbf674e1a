"""Clouds of one's own with a part for every point: one file a cloud, in one folder a class.

    root/{train,test}/<class>/<cloud>   .txt .xyz .pts .csv .npy
    root/<class>/<cloud>                divided here, class by class

The first three columns of a file are x, y, z, the last is the part, a whole number from 0. The
parts of a class are those that its clouds have; classes may share parts. Clouds in h5 files, and
lists of shapes, are read by `shapenetpart` with `official=False`.
"""

import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets import _class_folders
from point_ft_jax.data.datasets._options import SPLITS, check_folder_options
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
    test_fraction: float = 0.2,
    seed: int = 0,
    normalize: bool = True,
) -> Split:
    """A split of a folder of clouds with part labels.

    Args:
        split: 'train' or 'test'.
        root: the folder.
        num_points: the points kept of every cloud, drawn without replacement and the same in every
            run; None for as many as the smallest cloud of both splits has.
        test_fraction: the share of each class that is tested on, where the folder has no split.
        seed: draws the split and the points.
        normalize: whether each cloud is centred and scaled to the unit sphere.

    Raises:
        UserError: no class folders, files that cannot be read, clouds of fewer than `num_points`
            points, wrong values or labels; all files at once.
    """
    check_folder_options(split, num_points, test_fraction, seed)
    base = existing_root(root)
    if any(_class_folders.folders(base / name) for name in SPLITS):
        files, classes = _class_folders.divided(base)
    elif _class_folders.folders(base):
        files, classes = _class_folders.divide(base, test_fraction, seed)
    else:
        raise UserError(
            f'no clouds in {base}; expected train/<class>/ and test/<class>/, or <class>/'
        )
    entries = [entry for name in SPLITS for entry in files[name]]
    clouds, problems = {}, []
    for path, _ in entries:
        try:
            clouds[path] = _cloud(path)
        except UserError as error:
            problems.append(str(error))
    raise_all(problems, f'{len(problems):,} files of {base} cannot be read:')
    parts = {
        name: np.unique(np.concatenate([clouds[p][:, 3] for p, at in entries if at == label]))
        for label, name in enumerate(classes)
    }
    names = {path: path.relative_to(base).as_posix() for path, _ in entries}
    tables, labels = [clouds[p] for p, _ in entries], np.array([label for _, label in entries])
    problems = checks.cloud_problems(tables, list(names.values()))
    whole = {name: ids[ids >= 0] for name, ids in parts.items()}
    columns = [table[:, 3] for table in tables]
    problems += checks.part_problems(columns, labels, list(names.values()), whole)
    raise_all(problems, f'{base} has no sound clouds with parts:')
    chosen = [path for path, _ in files[split]]
    size = num_points or min(map(len, tables))
    table = same_size([clouds[p] for p in chosen], [names[p] for p in chosen], size, seed)
    points = np.ascontiguousarray(table[..., :3])
    count = 1 + int(max(ids.max() for ids in parts.values()))
    return Split(
        unit_sphere(points) if normalize else to_float32(points),
        np.array([label for _, label in files[split]], np.int32),
        classes,
        table[..., 3].astype(np.int32),
        part_names=tuple(f'part {part}' for part in range(count)),
        parts=tuple(tuple(ids.astype(int).tolist()) for ids in parts.values()),
        names=tuple(names[p] for p in chosen),
    )


def _cloud(path: pathlib.Path) -> np.ndarray:
    """[N, 4] in the precision of the file: x, y, z, part."""
    table = point_files.read_table(path)
    if table.shape[1] < 4:
        raise UserError(
            f'{path}: {table.shape[1]} columns; expected x, y, z first and the part last'
        )
    return table[:, [0, 1, 2, -1]]
