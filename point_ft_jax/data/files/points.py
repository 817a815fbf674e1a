"""One point cloud from one file: .npy, .npz, .ply, or text (.txt, .xyz, .pts, .csv)."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import some
from point_ft_jax.data.files import channels as named_channels
from point_ft_jax.data.files import npy, ply, text

NAMES = ('points', 'data', 'xyz', 'pos', 'vertices')  # the arrays looked for in an .npz, in order


def is_cloud(path: pathlib.Path) -> bool:
    """Whether a file of a folder is read as a cloud: of a known ending, and not hidden."""
    known = path.suffix.lower() in READERS
    return known and not path.name.startswith('.') and path.is_file()


def read(path: str | pathlib.Path, channels: Sequence[str] = ()) -> np.ndarray:
    """The points of a file, [N, 3 + F] float32 in the file's own units, with F named channels.

    Which channels can be asked for, and how they are found, `channels.read` says.

    Tables and arrays may have more than three columns: x, y, z are those named so in a .ply or in
    the header of a text file, else the first three. Text is split at commas, semicolons or blanks;
    lines that begin with # or // are comments, and a .pts may begin with its number of points.

    Raises:
        UserError: a missing, damaged or empty file, an unknown ending, too few columns, a value
            that is no finite number.
    """
    points = _read(path, READERS, _checked)
    if not channels:
        return points
    values = named_channels.read(path, channels, len(points))
    return np.concatenate([points, values], axis=1)


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


def read_table(path: str | pathlib.Path) -> np.ndarray:
    """All columns of a text or .npy file, [N, C] float64, C at least 3; errors as `read`."""
    return _read(path, TABLES, _table_checked)


def _read(
    path: str | pathlib.Path,
    readers: Mapping[str, Callable[[pathlib.Path], np.ndarray]],
    check: Callable[[np.ndarray], np.ndarray],
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
        return check(reader(path))
    except (UserError, OSError) as error:
        problem = str(error)
        named = problem.startswith(str(path))
        raise UserError(problem if named else f'{path}: {problem}') from None


def _checked(points: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_table_checked(points)[:, :3], dtype=np.float32)


def _table_checked(points: np.ndarray) -> np.ndarray:
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in 'fiu':
        raise UserError(
            f'found {points.dtype} of shape {list(points.shape)}; expected real numbers '
            '[points, 3] or with more columns after x, y, z'
        )
    if not len(points):
        raise UserError('no points in it')
    with np.errstate(over='ignore'):
        finite = np.isfinite(points[:, :3].astype(np.float32)).all(axis=1)
    if not finite.all():
        broken = np.count_nonzero(~finite)
        raise UserError(f'{broken:,} of {len(points):,} points are NaN or infinite; remove them')
    return points


def _npz(path: pathlib.Path) -> np.ndarray:
    found = npy.names(path)
    keys = [key for key in NAMES if key in found] or [*found]
    if not keys or (len(keys) > 1 and keys[0] not in NAMES):
        raise UserError(
            f'found the arrays {some(keys) or "(none)"}; name the points one of {", ".join(NAMES)}'
        )
    return npy.read_named(path, keys[:1])[keys[0]]


def _text(path: pathlib.Path) -> np.ndarray:
    return text.table(path, lambda head: [head.index(axis) for axis in 'xyz' if axis in head])


READERS = {
    '.npy': npy.read,
    '.npz': _npz,
    '.ply': lambda path: ply.parse(path.read_bytes()),
    **dict.fromkeys(('.txt', '.xyz', '.pts', '.csv'), _text),
}
TABLES = {ending: reader for ending, reader in READERS.items() if reader in (npy.read, _text)}
