"""Files of laser scanners, .las, .laz and .e57, by libraries that are installed on demand."""

import importlib
import os
import pathlib
import struct
from collections.abc import Callable
from types import ModuleType

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import npy

PACKAGES = {'laspy': 'laspy[lazrs]', 'pye57': 'pye57'}
RECORD = 54  # bytes of a variable-length record of .las, at least
E57_NAMES = {  # fields of .e57, and the names that are used here
    **{'cartesianX': 'x', 'cartesianY': 'y', 'cartesianZ': 'z', 'intensity': 'intensity'},
    **{'colorRed': 'red', 'colorGreen': 'green', 'colorBlue': 'blue'},
}


def las(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The dimensions [N] of a .las or .laz file by name; x, y, z in its units, float64.

    Raises:
        UserError: laspy is not installed; a damaged file, or one that says that it holds more than
            it does.
    """
    laspy = _library('laspy', path)

    def parse() -> dict[str, np.ndarray]:
        _check_records(path)
        with laspy.open(path, read_evlrs=False, laz_backend=laspy.LazBackend.Lazrs) as file:
            header = file.header
            size = header.point_count * header.point_format.size
            if header.are_points_compressed:
                npy.check_unpacked(size, path)
                _check_chunks(path, header.offset_to_point_data)
            elif header.offset_to_point_data + size > path.stat().st_size:
                raise UserError(
                    f'cut short: {header.point_count:,} points announced, which are {size:,} bytes,'
                    f' and the file has {path.stat().st_size:,}'
                )
            points = file.read()
        names = [name for name in points.point_format.dimension_names if name not in 'XYZ']
        found = {axis: np.asarray(points[axis], np.float64) for axis in 'xyz'}
        return found | {name.lower(): np.asarray(points[name]) for name in names}

    return _parsed(path, parse)


def _check_records(path: pathlib.Path) -> None:
    """Raises a `UserError` where a .las has more records than bytes: laspy reads as many."""
    with path.open('rb') as file:
        start, size = file.read(104), path.stat().st_size
    if start[:4] != b'LASF' or len(start) < 104:
        raise UserError('no .las or .laz: it does not begin with LASF')
    (records,) = struct.unpack_from('<I', start, 100)
    if records * RECORD > size:
        raise UserError(f'{records:,} records announced in a file of {size:,} bytes')


def _check_chunks(path: pathlib.Path, start: int) -> None:
    """Raises a `UserError` where a .laz has more chunks than bytes: lazrs makes room for them."""
    size = path.stat().st_size
    with path.open('rb') as file:
        file.seek(start)
        (table,) = struct.unpack('<q', file.read(8))
        if table == -1:  # written as a stream
            file.seek(-8, os.SEEK_END)
            (table,) = struct.unpack('<q', file.read(8))
        file.seek(max(0, table))
        _, chunks = struct.unpack('<2I', file.read(8))
    if chunks > size:
        raise UserError(f'{chunks:,} chunks announced in a file of {size:,} bytes: it is damaged')


def e57(path: pathlib.Path) -> dict[str, np.ndarray]:
    """x, y, z and, where all scans of an .e57 file have them, intensity and colours, [N] each.

    The scans stand one after the other, each moved by its pose; points marked as invalid are left
    out.

    Raises:
        UserError: as `las`, for pye57; no scans.
    """
    pye57 = _library('pye57', path)

    def parse() -> dict[str, np.ndarray]:
        file = pye57.E57(str(path))
        try:
            scans = [_scan(file, index, path) for index in range(file.scan_count)]
        finally:
            file.close()
        if not scans:
            raise UserError('no scans in it')
        shared = [name for name in scans[0] if all(name in scan for scan in scans)]
        return {name: np.concatenate([scan[name] for scan in scans]) for name in shared}

    return _parsed(path, parse)


def _scan(file: object, index: int, path: pathlib.Path) -> dict[str, np.ndarray]:
    header = file.get_header(index)
    npy.check_unpacked(8 * header.point_count * len(header.point_fields), path)
    found = file.read_scan(index, intensity=True, colors=True, ignore_missing_fields=True)
    return {E57_NAMES[name]: values for name, values in found.items() if name in E57_NAMES}


def _library(name: str, path: pathlib.Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = getattr(error, 'name', None) == name
        why = 'is not installed' if missing else f'cannot be imported ({error})'
        raise UserError(
            f'{path}: {path.suffix} files are read by {name}, which {why}: pip install '
            f"'{PACKAGES[name]}'"
        ) from None


def _parsed(
    path: pathlib.Path, parse: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    try:
        return parse()
    except (UserError, PermissionError):
        raise
    # What these libraries make of a damaged file can be any exception.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != 'PanicException':
            raise  # an interrupt; lazrs raises what is no Exception, too
        raise UserError(
            f'no readable {path.suffix} file ({type(error).__name__}: {str(error)[:200]})'
        ) from None
