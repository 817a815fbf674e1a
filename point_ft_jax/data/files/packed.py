"""A whole data set in one file, .h5 or .npz: clouds of any sizes, in the precision they have.

Its arrays are, for each split, `train.points` [T, 3 + F], the points of all clouds one after the
other, `train.sizes` [S] of the clouds, `train.labels` [S] and `train.names` [S]; and `classes` and
`channels`, the names of the F columns.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.files import h5, npy

ENDINGS = ('.h5', '.hdf5', '.npz')
OF_A_SPLIT = ('points', 'sizes', 'labels', 'names')
OF_ALL = ('classes', 'channels')


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """Clouds [N, 3 + F] of a split, with labels [S] and names."""

    clouds: Sequence[np.ndarray]
    labels: np.ndarray
    names: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Packed:
    """A data set: its splits by name, the classes by label, and the channels of a point."""

    splits: Mapping[str, PackedSplit]
    classes: tuple[str, ...]
    channels: tuple[str, ...] = ()


def pack(packed: Packed) -> dict[str, np.ndarray]:
    """The arrays of a data set by name, as they stand in a file."""
    found = {'classes': _texts(packed.classes), 'channels': _texts(packed.channels)}
    width = 3 + len(packed.channels)
    for name, split in packed.splits.items():
        empty = np.empty((0, width), np.float32)
        found[f'{name}.points'] = np.concatenate([empty, *split.clouds])
        found[f'{name}.sizes'] = np.array([len(cloud) for cloud in split.clouds], np.int64)
        found[f'{name}.labels'] = np.asarray(split.labels, np.int32)
        found[f'{name}.names'] = _texts(split.names)
    return found


def read(path: pathlib.Path) -> Packed:
    """The data set of a file.

    Raises:
        UserError: no such file, a damaged one, or one whose arrays do not fit together.
    """
    names = arrays_of(path)
    splits = [name.removesuffix('.points') for name in names if name.endswith('.points')]
    wanted = [*OF_ALL, *(f'{split}.{array}' for split in splits for array in OF_A_SPLIT)]
    if missing := [name for name in wanted if name not in names]:
        raise UserError(f'{path} is no packed data set: it lacks {", ".join(missing[:5])}')
    if not splits:
        raise UserError(f'{path} is no packed data set: expected train.points and the like')
    read_arrays = _named_h5 if path.suffix.lower() in ENDINGS[:2] else npy.read_named
    found = read_arrays(path, wanted)
    raise_all(_problems(found, splits), f'{path} is no sound data set:')
    return Packed(
        {split: _split(found, split) for split in splits},
        _words(found['classes']),
        _words(found['channels']),
    )


def is_packed(path: pathlib.Path) -> bool:
    """Whether a file of such an ending has the arrays of a data set."""
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        return False
    return 'classes' in arrays_of(path)


def arrays_of(path: pathlib.Path) -> Sequence[str]:
    """The names of a file's arrays; errors as `h5.keys` and `npy.names`."""
    return h5.keys(path) if path.suffix.lower() in ENDINGS[:2] else npy.names(path)


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to an .h5 or .npz file; what was there stays until the new file is whole.

    Raises:
        UserError: another ending, or a folder that cannot be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f'{path}: unknown ending {path.suffix!r}; expected {" or ".join(ENDINGS)}')
    part = path.with_name(f'.{path.name}.{os.getpid()}{path.suffix}')
    try:
        if path.suffix.lower() == '.npz':
            np.savez_compressed(part, **arrays)
        else:
            with h5py.File(part, 'w') as file:
                for name, array in arrays.items():
                    packing = {'compression': 'gzip', 'shuffle': True} if array.size else {}
                    file.create_dataset(name, data=array, **packing)
        os.replace(part, path)
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error})') from None
    finally:
        part.unlink(missing_ok=True)


def _problems(found: Mapping[str, np.ndarray], splits: Sequence[str]) -> list[str]:
    width = 3 + len(np.atleast_1d(found['channels']))
    problems = []
    for split in splits:
        points, sizes, labels, names = (found[f'{split}.{name}'] for name in OF_A_SPLIT)
        whole = sizes.ndim == 1 and sizes.dtype.kind in 'iu' and labels.dtype.kind in 'iu'
        if points.ndim != 2 or points.shape[1] != width or points.dtype.kind not in 'fiu':
            problems.append(
                f'{split}.points are {points.dtype} {list(points.shape)}; expected [points, '
                f'{width}], x, y, z and the channels'
            )
        elif not whole or (sizes < 1).any() or sizes.sum() != len(points):
            problems.append(f'{split}.sizes do not add up to the {len(points):,} points')
        elif labels.shape != sizes.shape or names.shape != sizes.shape:
            problems.append(
                f'{split} has {sizes.size} sizes, {labels.size} labels and '
                f'{names.size} names; expected one of each a cloud'
            )
        elif labels.size and not 0 <= labels.min() <= labels.max() < len(found['classes']):
            problems.append(f'{split}.labels are not all of the {len(found["classes"])} classes')
    return problems


def _split(found: Mapping[str, np.ndarray], split: str) -> PackedSplit:
    points, sizes, labels, names = (found[f'{split}.{name}'] for name in OF_A_SPLIT)
    clouds = np.split(points, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return PackedSplit(clouds, labels.astype(np.int32), _words(names))


def _named_h5(path: pathlib.Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    return dict(zip(names, h5.arrays(path, names), strict=True))


def _texts(words: Sequence[str]) -> np.ndarray:
    """Text as bytes of UTF-8, which both formats hold."""
    return np.array([word.encode() for word in words], 'S') if len(words) else np.empty(0, 'S1')


def _words(texts: np.ndarray) -> tuple[str, ...]:
    if texts.dtype.kind == 'U':
        return tuple(map(str, texts.tolist()))
    if texts.dtype.kind != 'S':
        raise UserError(f'names are {texts.dtype}; expected text')
    return tuple(text.decode('utf-8', 'replace') for text in texts.tolist())
