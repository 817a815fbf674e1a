"""Text features of class names from a file: what a text tower has made of them elsewhere."""

import pathlib
import zipfile

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.files import npy


def read(path: str | pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The features [C, E] float32 and the C class names of a file.

    An .npz has the arrays 'features' and 'classes'; an .npy has the features, with the names one a
    line in a .txt of the same name beside it. One row a class: of several templates, take the mean
    of the normalised features.

    Raises:
        UserError: no such file, another ending, an array that is missing or of another shape, a
            name twice, a row that is zero or not finite.
    """
    path = pathlib.Path(path)
    readers = {'.npz': _npz, '.npy': _npy}
    if path.suffix.lower() not in readers:
        raise UserError(f'{path}: expected text features in an .npz or .npy file')
    if not path.is_file():
        raise UserError(f'no file {path}')
    try:
        features, names = readers[path.suffix.lower()](path)
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f'{path}: no readable text features ({error})') from None
    names = tuple(map(str, names))
    raise_all(_problems(features, names), f'{path} has no text features for classes:')
    return features.astype(np.float32), names


def _npz(path: pathlib.Path) -> tuple[np.ndarray, list[str]]:
    found = npy.names(path)
    if missing := [name for name in ('features', 'classes') if name not in found]:
        raise UserError(
            f'{path} has {", ".join(found[:20])} and no {", ".join(missing)}; expected '
            "'features' [classes, width] and 'classes', their names"
        )
    arrays = npy.read_named(path, ('features', 'classes'))
    return arrays['features'], np.atleast_1d(arrays['classes']).tolist()


def _npy(path: pathlib.Path) -> tuple[np.ndarray, list[str]]:
    names = path.with_suffix('.txt')
    if not names.is_file():
        raise UserError(f'{path} needs the class names of its rows, one a line, in {names}')
    lines = names.read_text(encoding='utf-8').splitlines()
    return npy.read(path), [line.strip() for line in lines if line.strip()]


def _problems(features: np.ndarray, names: tuple[str, ...]) -> list[str]:
    if features.ndim != 2 or features.dtype.kind != 'f':
        return [
            f'found {features.dtype} {list(features.shape)}; expected real numbers [classes, '
            'width], one row a class (of several templates, the mean)'
        ]
    found = []
    if len(features) != len(names):
        found.append(f'{len(features)} rows and {len(names)} names; expected a name a row')
    if len(set(names)) < len(names):
        found.append('a class name occurs twice; expected a name of its own for every row')
    lengths = np.linalg.norm(features.astype(np.float64), axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        found.append('a row is zero or not finite; expected a direction for every class')
    return found
