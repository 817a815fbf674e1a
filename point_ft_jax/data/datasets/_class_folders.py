"""One file a cloud, one folder a class: which files there are, their split, and their points."""

import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import raise_all
from point_ft_jax.data.checks import some
from point_ft_jax.data.datasets._options import SPLITS
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.normalize import same_size

Files = dict[str, list[tuple[pathlib.Path, int]]]  # for each split its files with their labels


def folders(base: pathlib.Path) -> list[pathlib.Path]:
    """The sub-folders of a folder but hidden ones, in alphabetical order; [] without a folder."""
    if not base.is_dir():
        return []
    return sorted(p for p in base.iterdir() if p.is_dir() and not p.name.startswith('.'))


def others(base: pathlib.Path) -> list[str]:
    """The names of the files below a folder that are no clouds, but for hidden ones."""
    files = (p for p in sorted(base.rglob('*')) if p.is_file() and not p.name.startswith('.'))
    return [p.name for p in files if p.suffix.lower() not in point_files.READERS]


def divided(base: pathlib.Path) -> tuple[Files, tuple[str, ...]]:
    """The files of base/{train,test}/<class>/ and the classes, which are those of train.

    Raises:
        UserError: a split without folders, a class without clouds, a class of test only.
    """
    names = {split: [folder.name for folder in folders(base / split)] for split in SPLITS}
    problems = [f'no class folders in {base / split}' for split in SPLITS if not names[split]]
    extra = sorted(set(names['test']) - set(names['train']))
    if extra and names['train']:
        problems.append(f'classes in test that train does not have: {some(extra)}')
    classes = tuple(names['train'])
    problems += _empty([base / split / name for split in SPLITS for name in names[split]])
    raise_all(problems, f'{base} has no sound train/<class>/ and test/<class>/:')
    labels = {name: label for label, name in enumerate(classes)}
    files = {
        split: [(p, labels[name]) for name in names[split] for p in _clouds(base / split / name)]
        for split in SPLITS
    }
    return files, classes


def divide(base: pathlib.Path, test_fraction: float, seed: int) -> tuple[Files, tuple[str, ...]]:
    """The files of base/<class>/, `test_fraction` of each class for test, and the classes.

    A class's split depends on the seed, its name and its own files alone.

    Raises:
        UserError: a class with fewer than two clouds.
    """
    classes = folders(base)
    problems = _empty(classes)
    files: Files = {split: [] for split in SPLITS}
    for label, folder in enumerate(classes):
        clouds = _clouds(folder)
        if len(clouds) == 1:
            problems.append(f'{folder} has 1 cloud; expected 2 or more, to train and to test on')
        rng = np.random.default_rng([seed, zlib.crc32(folder.name.encode())])
        tested = set(rng.permutation(len(clouds))[: _share(len(clouds), test_fraction)].tolist())
        for index, path in enumerate(clouds):
            files['test' if index in tested else 'train'].append((path, label))
    raise_all(problems, f'{base} cannot be divided into train and test:')
    return files, tuple(folder.name for folder in classes)


def read(
    split: str,
    base: pathlib.Path,
    files: Files,
    num_points: int | None,
    seed: int,
    channels: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Points [S, num_points, 3 + F] float32 of a split's files, and labels [S].

    Without `num_points`, the files of every split are read, to find the smallest cloud.

    Raises:
        UserError: files that cannot be read, or clouds that are too small; all at once.
    """
    wanted = [split] if num_points else SPLITS
    asked = [path for name in wanted for path, _ in files[name]]
    clouds = dict(zip(asked, point_files.read_all(asked, channels), strict=True))
    num_points = num_points or min(map(len, clouds.values()))
    paths = [path for path, _ in files[split]]
    names = [path.relative_to(base).as_posix() for path in paths]
    points = same_size([clouds[path] for path in paths], names, num_points, seed)
    return points, np.array([label for _, label in files[split]], np.int32)


def _clouds(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(folder.iterdir()) if point_files.is_cloud(path)]


def _empty(classes: list[pathlib.Path]) -> list[str]:
    return [
        f'{folder} has no cloud: found {some(others(folder)) or "no file"}, expected files '
        f'ending in {", ".join(point_files.READERS)}'
        for folder in classes
        if not _clouds(folder)
    ]


def _share(count: int, fraction: float) -> int:
    """How many of a class are tested on: at least one, and one is left."""
    return min(max(1, round(fraction * count)), count - 1) if count > 1 else 0
