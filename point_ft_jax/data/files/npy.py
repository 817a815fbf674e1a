"""Arrays of .npy and .npz files, whose headers are believed as far as the file bears them out."""

import math
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeVar

import numpy as np

from point_ft_jax.core.errors import UserError

T = TypeVar('T')

MAGIC = b'\x93NUMPY'
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
SMALL = 2**26  # bytes that a file may unpack to, whatever its own size
MOST_PACKED = 100  # times its own size that a larger one may: clouds pack to a half


def read(path: pathlib.Path) -> np.ndarray:
    """The array of an .npy file, of numbers or text, in the file's own type.

    Raises:
        UserError: no such file, damaged, cut short, or of Python objects or records.
    """

    def parse() -> np.ndarray:
        with path.open('rb') as stream:
            return _array(stream, path.stat().st_size)

    return _read(path, parse)


def names(path: pathlib.Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz file; errors as `read`."""

    def parse() -> tuple[str, ...]:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix('.npy') for name in archive.namelist())

    return _read(path, parse)


def read_named(path: pathlib.Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by their names.

    Raises:
        UserError: as `read`; no array of such a name; or it unpacks to more than such files do.
    """

    def parse() -> dict[str, np.ndarray]:
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.getinfo(f'{name}.npy') for name in wanted}
            check_unpacked(sum(entry.file_size for entry in entries.values()), path)
            return {name: _member(archive, entry) for name, entry in entries.items()}

    return _read(path, parse)


def check_unpacked(size: int, path: pathlib.Path) -> None:
    """Raises a `UserError` where `size` bytes are out of proportion to a file."""
    packed = path.stat().st_size
    if size > max(SMALL, MOST_PACKED * packed):
        raise UserError(
            f'{path} has {packed:,} bytes and says that it holds {size:,}; a file of clouds does '
            'not: get it again, or save it without compression'
        )


def of_records(dtype: np.dtype) -> str:
    """What to do with an array of records, behind a colon; '' for one of anything else."""
    names = [repr(name) for name in ('x', 'y', 'z') if name in (dtype.names or ())] or ['...']
    columns = ', '.join(f'a[{name}]' for name in names)
    return f': save its fields as columns, np.stack([{columns}], axis=-1)' if dtype.names else ''


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as stream:
        return _array(stream, entry.file_size)


def _read(path: pathlib.Path, parse: Callable[[], T]) -> T:
    if not path.is_file():
        raise UserError(f'no file {path}')
    try:
        return parse()
    except UserError as error:
        text = str(error)
        reason = f'{path}: no readable {path.suffix} file of numbers: {text}'
        raise UserError(text if str(path) in text else reason) from None
    except PermissionError as error:
        raise UserError(f'{path} may not be read ({error.strerror})') from None
    # A damaged archive or header can raise anything.
    except Exception as error:
        raise UserError(
            f'{path}: no readable {path.suffix or "numpy"} file of numbers '
            f'({type(error).__name__}: {str(error)[:200]})'
        ) from None


def _array(stream: BinaryIO, size: int) -> np.ndarray:
    """The array that begins here, in a file of `size` bytes."""
    if (magic := stream.read(len(MAGIC))) != MAGIC:
        raise UserError(f'no numpy file: it starts with {magic!r}')
    version = tuple(stream.read(2))
    if version not in HEADERS:
        raise UserError(f'a numpy file of version {version}, which holds no array of numbers')
    shape, column_major, dtype = HEADERS[version](stream)
    if dtype.kind not in 'biufcSU' or not dtype.itemsize:
        raise UserError(f'it holds {str(dtype)[:80]}; expected numbers{of_records(dtype)}')
    if len(shape) > 32 or any(type(length) is not int or length < 0 for length in shape):
        raise UserError(f'its header gives it the shape {str(shape)[:80]}')
    needed = math.prod(shape) * dtype.itemsize
    data = stream.read(needed) if needed <= size else b''
    if len(data) < needed:
        raise UserError(
            f'cut short: its header tells of {"x".join(map(str, shape[:8]))} values, and the file '
            f'has {size:,} bytes'
        )
    array = np.frombuffer(bytearray(data), dtype)
    return array.reshape(shape, order='F' if column_major else 'C')
