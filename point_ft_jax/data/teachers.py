"""The features that frozen teachers have of the training clouds, from a file."""

import dataclasses
import os
import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.files import h5, npy
from point_ft_jax.data.split import Split

ARRAYS = {'image_feature': 'image', 'text_feature': 'text'}


def attach(split: Split, path: str | os.PathLike) -> Split:
    """`split` with the features of a file, in the order of its clouds.

    The file is an .npz or an HDF5 file with 'image_feature', 'text_feature' or both: each [S, F]
    for the S clouds of the split, or [S, V, F] for V views or phrasings of each, real numbers.
    (ReCon's are of ViT-B/16 pre-trained on ImageNet-21k, 768 wide, and of CLIP ViT-B/32's text
    encoder, 512 wide.)

    Raises:
        UserError: no such file, not such a file, none of the arrays or others too, a wrong shape or
            a number of clouds that is not the split's, values that are no numbers; all at once.
    """
    arrays = _read(pathlib.Path(path).expanduser())
    problems = []
    if not set(arrays) & set(ARRAYS):
        problems.append(f'it has {", ".join(arrays) or "nothing"}; expected {" or ".join(ARRAYS)}')
    problems += [
        f'{name} is unknown; expected {" or ".join(ARRAYS)}'
        for name in arrays
        if name not in ARRAYS
    ]
    for name, array in arrays.items():
        if array.ndim not in (2, 3) or array.dtype.kind not in 'fiu' or 0 in array.shape:
            problems.append(
                f'{name} is {array.dtype} {array.shape}; expected real numbers [clouds, width] or '
                '[clouds, views, width]'
            )
        elif len(array) != len(split):
            problems.append(
                f'{name} is of {len(array)} clouds, and the training split has {len(split)}; '
                'expected one row a cloud, in the order of the split'
            )
        elif not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
            problems.append(f'{name} has no numbers for cloud {", ".join(map(str, bad[:5]))}')
    raise_all(problems, f"the teachers' features in {path} can not be used:")
    features = {ARRAYS[name]: array.astype(np.float32) for name, array in arrays.items()}
    return dataclasses.replace(split, features=features)


def widths(split: Split) -> dict[str, int]:
    """The width of each teacher's features, by name; none where the split has no features."""
    return {name: array.shape[-1] for name, array in split.features.items()}


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file of teachers' features; expected an .npz or .h5 with "
            f'{" and ".join(ARRAYS)}'
        )
    try:
        if path.suffix == '.npz':
            return npy.read_named(path, npy.names(path))
        found = h5.keys(path)
        return dict(zip(found, h5.arrays(path, found), strict=True))
    except UserError as error:
        raise UserError(
            f"{path}: not a file of teachers' features ({error}); expected an .npz, or an HDF5 "
            f'file, with {" and ".join(ARRAYS)}'
        ) from None
