"""`.safetensors` files, read and written by the safetensors package (`pip install safetensors`).

Such a file is the length of a JSON header in 8 bytes, the header (name, type, shape and place of
each tensor) and the tensors' bytes. There is nothing in it to run. What the header claims is held
against the size of the file before anything is made.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from point_ft_jax.core.errors import UserError

SUFFIX = '.safetensors'
LENGTH_BYTES = 8
METADATA = '__metadata__'
# Their names of types; of those that numpy lacks, the package would give none.
TYPES = {
    'F64': np.float64,
    'F32': np.float32,
    'F16': np.float16,
    'BF16': ml_dtypes.bfloat16,
    'F8_E4M3': ml_dtypes.float8_e4m3fn,
    'F8_E5M2': ml_dtypes.float8_e5m2,
    'I64': np.int64,
    'I32': np.int32,
    'I16': np.int16,
    'I8': np.int8,
    'U64': np.uint64,
    'U32': np.uint32,
    'U16': np.uint16,
    'U8': np.uint8,
    'BOOL': np.bool_,
}
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}


def is_safetensors(path: str | os.PathLike) -> bool:
    """Whether the file at `path` begins as such a file does, whatever its name."""
    path = pathlib.Path(path)
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open('rb') as stream:
            head = stream.read(LENGTH_BYTES + 1)
            size = stream.seek(0, os.SEEK_END)
    except OSError:
        return False
    length = int.from_bytes(head[:LENGTH_BYTES], 'little')
    return head[LENGTH_BYTES:] == b'{' and 2 <= length <= size - LENGTH_BYTES


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a file by their names, and its metadata.

    Returns:
        Read-only arrays (bfloat16 and the eight-bit floats by ml_dtypes), and text by name.

    Raises:
        UserError: the package is missing, there is no such file, or it is damaged or of another
            kind.
    """
    package = _package()
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UserError('not a file')
        with path.open('rb') as stream:
            metadata = _checked_metadata(stream, os.fstat(stream.fileno()).st_size)
            stream.seek(0)
            entries = package.deserialize(stream.read())
        return {name: _array(entry) for name, entry in entries}, metadata
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    except OSError as error:
        raise UserError(
            f'{path}: {error.strerror or error}; expected a {SUFFIX} file there'
        ) from error
    except Exception as error:  # the package has an error of its own; a damaged file can raise any
        raise UserError(
            f'{path}: damaged or cut short ({type(error).__name__}: {str(error)[:200]}); get the '
            'file again'
        ) from error


def write(path: str | os.PathLike, state: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes a file that the safetensors package and whatever builds on it reads.

    Args:
        path: the file; its folder exists. An older one is replaced when the new one is complete.
        state: arrays by name, numpy's or JAX's.
        metadata: text by name.

    Raises:
        UserError: the package is missing, a value that such a file can't hold, or the path isn't
            writable.
    """
    package = _package()
    arrays = {name: np.asarray(value, order='C') for name, value in state.items()}
    stray = [name for name, array in arrays.items() if array.dtype not in NAMES]
    if stray:
        raise UserError(f'{path}: {SUFFIX} files hold numbers; these entries are not: {stray}')
    data = package.numpy.save(arrays, {'format': 'pt', **metadata})
    path = pathlib.Path(path)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror or error}') from error
    finally:
        temporary.unlink(missing_ok=True)


def _package() -> ModuleType:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise UserError(
            f'{SUFFIX} files need a package that is not installed: pip install safetensors'
        ) from None
    return safetensors


def _checked_metadata(stream: Any, size: int) -> dict[str, str]:
    """The header's metadata, after its length and its tensors' places were held against `size`."""
    length = int.from_bytes(stream.read(LENGTH_BYTES), 'little')
    if size < LENGTH_BYTES or length > size - LENGTH_BYTES:
        raise UserError(
            f'not a {SUFFIX} file, or cut short: its header would have {length:,} bytes, and the '
            f'file has {size:,}'
        )
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'not a {SUFFIX} file: its header is no JSON ({str(error)[:100]})'
        ) from None
    if not isinstance(header, dict):
        raise UserError(f'not a {SUFFIX} file: its header is a {type(header).__name__}')
    strange = [
        f'{name} {entry.get("dtype")}'
        for name, entry in header.items()
        if name != METADATA and isinstance(entry, dict) and entry.get('dtype') not in TYPES
    ]
    if strange:
        raise UserError(
            f'of types that nothing here can hold: {", ".join(map(str, strange[:4]))}; save it as '
            'float32'
        )
    metadata = header.get(METADATA)
    return metadata if isinstance(metadata, dict) else {}


def _array(entry: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(entry['data'], TYPES[entry['dtype']]).reshape(entry['shape'])
