"""The text form of ModelNet40, its published cache, and the cache that takes its place."""

import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from kernels import farthest_point_sample
from point_ft_jax.core import cache
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import some
from point_ft_jax.data.datasets._options import read_names
from point_ft_jax.data.files import array_pickle
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.precision import to_float32

BATCH = 32  # clouds that are sampled in one call


def read(
    split: str, folder: pathlib.Path, classes: Sequence[str], num_points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points [S, num_points, 3] as in the files, and labels [S].

    Raises:
        UserError: what is wrong with the published cache, the list of clouds, or their files.
    """
    published = _published(split, folder, num_points)
    if published.is_file():
        return _read_published(published)
    ids = _ids(split, folder)
    labels = _labels(ids, classes, folder)
    own = _own(split, folder, num_points)
    points, listed = cache.read(own, 'points', 'ids') or (None, None)
    if listed is None or listed.tolist() != ids:
        title = f'ModelNet40 {split}: {num_points} points a cloud'
        points = _sample(ids, folder, num_points, title)
        cache.write(own, points=points, ids=np.array(ids))
    return points, labels


def describe(split: str, folder: pathlib.Path, num_points: int) -> str:
    """Which cache is read, or that there is none yet."""
    for path in (_published(split, folder, num_points), _own(split, folder, num_points)):
        if path.is_file():
            return f'cache {path}'
    return f'{len(_ids(split, folder)):,} text files (no cache yet)'


def _published(split: str, folder: pathlib.Path, num_points: int) -> pathlib.Path:
    return folder / f'modelnet40_{split}_{num_points}pts_fps.dat'


def _read_published(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    content = array_pickle.load(path)
    try:
        clouds, labels = content
        points = np.stack([cloud[:, :3] for cloud in clouds])
        labels = np.concatenate([np.atleast_1d(label) for label in labels])
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(
            f'{path} is not a list of clouds and a list of labels ({error}); download it again, or '
            'delete it to have a cache made from the text files'
        ) from None
    return points, labels


def _ids(split: str, folder: pathlib.Path) -> list[str]:
    path = folder / f'modelnet40_{split}.txt'
    if not path.is_file():
        raise UserError(f'no file {path}, the list of the clouds of {split}; download it again')
    ids = list(read_names(path))
    if not ids:
        raise UserError(f'{path} lists no cloud; download it again')
    return ids


def _labels(ids: Sequence[str], classes: Sequence[str], folder: pathlib.Path) -> np.ndarray:
    """The class of an id is all before its last underscore: glass_box_0001 is a glass_box."""
    known = {name: label for label, name in enumerate(classes)}
    names = [_class_of(identity) for identity in ids]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UserError(
            f'{folder} lists clouds of classes that modelnet40_shape_names.txt does not have: '
            f'{some(unknown)}; it has {some(classes)}'
        )
    return np.array([known[name] for name in names], np.int32)


def _class_of(identity: str) -> str:
    return identity.rpartition('_')[0]


def _sample(ids: Sequence[str], folder: pathlib.Path, num_points: int, title: str) -> np.ndarray:
    """Reads the clouds and keeps the farthest points of each, start index 0."""
    result = np.empty((len(ids), num_points, 3), np.float32)
    problems = []
    with tqdm(total=len(ids), desc=title, unit='cloud') as progress:
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            clouds = [_read_cloud(folder, identity, num_points, problems) for identity in batch]
            if not problems:
                result[start : start + BATCH] = _farthest(clouds, num_points)
            progress.update(len(batch))
    raise_all(problems, f'{len(problems):,} of {len(ids):,} clouds of {folder} cannot be used:')
    return result


def _read_cloud(
    folder: pathlib.Path, identity: str, num_points: int, problems: list[str]
) -> np.ndarray | None:
    try:
        points = point_files.read(folder / _class_of(identity) / f'{identity}.txt')
        points = to_float32(points[None], [identity])[0]
    except UserError as error:
        problems.append(str(error))
        return None
    if len(points) < num_points:
        problems.append(f'{identity} has {len(points):,} points; expected at least {num_points:,}')
    return points


def _farthest(clouds: Sequence[np.ndarray], num_points: int) -> np.ndarray:
    """[B, num_points, 3], clouds of one size in one call."""
    result = np.empty((len(clouds), num_points, 3), np.float32)
    for size in {len(cloud) for cloud in clouds}:
        members = [i for i, cloud in enumerate(clouds) if len(cloud) == size]
        points = np.stack([clouds[i] for i in members])
        # A cache leaves nothing out: skipping points near the origin is the model's affair.
        kept = np.asarray(farthest_point_sample(points, num_points, skip_near_origin=False))
        result[members] = np.take_along_axis(points, kept[..., None], axis=1)
    return result


def _own(split: str, folder: pathlib.Path, num_points: int) -> pathlib.Path:
    """Beside the text files, or where these may not be written, in the user's cache folder."""
    name = f'modelnet40_{split}_{num_points}pts_fps.npz'
    beside = folder / name
    if beside.is_file() or os.access(folder, os.W_OK):
        return beside
    origin = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return cache.folder() / origin / name
