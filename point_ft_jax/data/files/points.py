"""One point cloud from one file: arrays, text, clouds with names, meshes and scans."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import is_turned, some
from point_ft_jax.data.files import channels as named_channels
from point_ft_jax.data.files import h5, inventory, mesh, named, npy, text

PART_NAMES = ('part', 'label', 'seg', 'pid', 'part_label', 'part_id')  # of a column of parts
NAMES = ('points', 'data', 'xyz', 'pos', 'vertices')  # the arrays looked for in an .npz, in order


def is_cloud(path: pathlib.Path) -> bool:
    """Whether a file of a folder is read as a cloud: of a known ending, not hidden, no document."""
    known = path.suffix.lower() in READERS and not inventory.is_system(path.name)
    return known and path.is_file() and not inventory.is_document(path)


def read(
    path: str | pathlib.Path,
    channels: Sequence[str] = (),
    nonfinite: str = 'refuse',
    seed: int = 0,
    surface_points: int = mesh.POINTS,
) -> np.ndarray:
    """The points of a file, [N, 3 + F] in its own units and precision, with F named channels.

    Text and .ply come as float64; cast them by `precision.to_float32`, after any subsampling.
    Which channels can be asked for, and how they are found, `channels.read` says.

    Tables and arrays may have more than three columns: x, y, z are those named so in a .ply or in
    the header of a text file, else the first three. Text is split at commas, semicolons, bars or
    blanks; lines that begin with #, // or % are remarks, and the first line may be the number of
    points. What can be read in two ways is refused. Of a mesh (.obj, .off, .stl, and .ply with
    faces) points are drawn from its surface, evenly by area. An .npz or .h5 has the points in the
    array of one of `NAMES`.

    Args:
        path: the file.
        channels: their names.
        nonfinite: 'refuse' a file with points that are NaN or infinite, or 'drop' these points.
        seed: of the points that are drawn from a mesh; they depend on the file's name, too.
        surface_points: how many are drawn from a mesh.

    Raises:
        UserError: a missing, damaged or empty file, an unknown ending, too few columns, more
            columns than rows, a value that is no finite number.
    """
    points = _read(path, _readers(seed, surface_points))[:, :3]
    if channels:
        values = named_channels.read(path, channels, len(points), nonfinite, (seed, surface_points))
        points = np.concatenate([points, values], axis=1)
    return np.ascontiguousarray(_finite(points, path, nonfinite))


def read_all(paths: Sequence[str | pathlib.Path], channels: Sequence[str] = ()) -> list[np.ndarray]:
    """The points of each file, as `read` has them.

    Raises:
        UserError: files that cannot be read, all of them in one message.
    """
    clouds, problems = [], []
    for path in paths:
        try:
            clouds.append(read(path, channels))
        except UserError as error:
            problems.append(str(error))
    raise_all(problems, f'{len(problems):,} of {len(paths):,} files cannot be read:')
    return clouds


def read_table(path: str | pathlib.Path, nonfinite: str = 'refuse') -> np.ndarray:
    """All columns of a text or .npy file, [N, C], C at least 3; see `read`."""
    return _finite(_read(path, TABLES), path, nonfinite)


def _read(
    path: str | pathlib.Path,
    readers: Mapping[str, Callable[[pathlib.Path], np.ndarray]],
) -> np.ndarray:
    path = pathlib.Path(path)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f'{path}: unknown ending {path.suffix!r}; expected one of {", ".join(readers)}'
        )
    if not path.is_file():
        raise UserError(f'no file {path}')
    try:
        return _checked(reader(path))
    except (UserError, OSError) as error:
        problem = str(error)
        named = problem.startswith(str(path))
        raise UserError(problem if named else f'{path}: {problem}') from None


def _checked(points: np.ndarray) -> np.ndarray:
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in 'fiu':
        raise UserError(
            f'found {points.dtype} of shape {list(points.shape)}; expected real numbers '
            '[points, 3] or with more columns after x, y, z'
        )
    if not len(points):
        raise UserError('no points in it')
    if is_turned(points.shape):
        raise UserError(
            f'found {points.shape[1]:,} columns and {len(points):,} rows; expected a row for each '
            'point: swap the axes, points.T'
        )
    return points


def _finite(points: np.ndarray, path: str | pathlib.Path, nonfinite: str) -> np.ndarray:
    """The points that single precision can hold; all of them, unless the others may be dropped."""
    with np.errstate(over='ignore'):
        finite = np.isfinite(points.astype(np.float32)).all(axis=1)
    if finite.all():
        return points
    if nonfinite == 'drop' and finite.any():
        return points[finite]
    broken = np.count_nonzero(~finite)
    advice = 'leave this file out' if nonfinite == 'drop' else "or set nonfinite='drop'"
    raise UserError(
        f'{path}: {broken:,} of {len(points):,} points are NaN, infinite or missing; remove them, '
        f'{advice}'
    )


def _npz(path: pathlib.Path) -> np.ndarray:
    key = _key(npy.names(path))
    return npy.read_named(path, [key])[key]


def _h5(path: pathlib.Path) -> np.ndarray:
    return h5.arrays(path, [_key(h5.keys(path))])[0]


def _key(found: Sequence[str]) -> str:
    """The array of the points among those of a file."""
    keys = [key for key in NAMES if key in found] or [*found]
    if not keys or (len(keys) > 1 and keys[0] not in NAMES):
        raise UserError(
            f'found the arrays {some(keys) or "(none)"}; name the points one of {", ".join(NAMES)}'
        )
    return keys[0]


def _text(path: pathlib.Path) -> np.ndarray:
    return text.table(path, lambda names: [names.index(axis) for axis in text.AXES], True)


def _text_table(path: pathlib.Path) -> np.ndarray:
    """x, y, z, the other columns in their order, and last the one that is named as the part."""

    def pick(names: list[str]) -> list[int]:
        axes = [names.index(axis) for axis in text.AXES]
        parts = [i for i, name in enumerate(names) if name in PART_NAMES]
        parts = parts if len(parts) == 1 else []
        others = [i for i, name in enumerate(names) if name and i not in (*axes, *parts)]
        return [*axes, *others, *parts]

    return text.table(path, pick)


def _named_table(path: pathlib.Path) -> np.ndarray:
    """x, y, z, and what is named as the part."""
    found = named.columns(path)
    parts = [name for name in (*PART_NAMES, 'classification') if name in found]
    if not parts:
        raise UserError(
            f'no parts of its points: found {some(found, 12)}, expected {" or ".join(PART_NAMES)}'
        )
    return np.stack([found[name].astype(np.float64) for name in (*mesh.AXES, parts[0])], axis=-1)


def _readers(seed: int, surface_points: int) -> dict[str, Callable[[pathlib.Path], np.ndarray]]:
    sampled = functools.partial(named.xyz, seed=seed, surface_points=surface_points)
    return {
        '.npy': npy.read,
        '.npz': _npz,
        **dict.fromkeys(ARRAYS, _h5),
        **dict.fromkeys(TEXTS, _text),
        **dict.fromkeys(named.ENDINGS, sampled),
    }


TEXTS = ('.txt', '.xyz', '.pts', '.csv')
ARRAYS = ('.h5', '.hdf5')
READERS = _readers(0, mesh.POINTS)
TABLES = {
    '.npy': npy.read,
    **dict.fromkeys(TEXTS, _text_table),
    **dict.fromkeys([e for e in named.ENDINGS if e not in named.SURFACES], _named_table),
}
