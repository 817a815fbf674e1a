"""PyTorch checkpoint files (`.pth`), read and written without PyTorch.

`torch.save` writes one of two containers: a zip archive (since 1.6) with a pickle and an entry for
each tensor storage, or the legacy stream of pickles followed by the storages. What the pickle may
hold is the business of `torch_pickle`.
"""

import collections
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np

from point_ft_jax.checkpoints import torch_pickle
from point_ft_jax.core.errors import UserError

WEIGHT_KEYS = ('base_model', 'model', 'model_state_dict', 'state_dict', 'module')
# A legacy file starts with this number, behind a pickle header whose length is the protocol's.
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]
LEGACY_HEADER = slice(2, 32)
LEGACY_VERSION = 1001
ZIP_MAGIC = b'PK\x03\x04'
ENCRYPTED = 0x1
# What people have in hand in place of a checkpoint, by its first bytes.
LOOK_ALIKES = {
    b'\x89HDF': 'an HDF5 file',
    b'\x93NUMPY': 'a numpy array',
    b'\x1f\x8b': 'gzip data; unpack it first',
    b'Rar!': 'a rar archive; unpack it first',
    b'7z\xbc\xaf': 'a 7-zip archive; unpack it first',
    b'version https://git-lfs': 'a git-lfs pointer, not the file itself; run `git lfs pull`',
    b'\x80': 'a plain Python pickle',
}


def read(path: str | os.PathLike) -> object:
    """The whole object that `torch.save` wrote, in either container.

    Returns:
        The object with tensors as read-only numpy arrays (bfloat16 by ml_dtypes), which share
        memory where the tensors did; instances of other classes as inert `torch_pickle.Opaque`.

    Raises:
        UserError: no such file, not such a file, damaged, or it asks to run code; nothing runs.
    """
    path = pathlib.Path(path)
    try:
        with path.open('rb') as stream:
            return _read(stream)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    except OSError as error:
        raise UserError(
            f'{path}: {error.strerror or error}; expected a PyTorch .pth file there'
        ) from error
    # A damaged pickle or archive can raise anything.
    except Exception as error:
        raise UserError(
            f'{path}: damaged, cut short or not written by torch.save '
            f'({type(error).__name__}: {error}); get the file again'
        ) from error


def state_dict(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The weights of a checkpoint file, and what lies beside them.

    Returns:
        The arrays by their keys in the file, from the first of `WEIGHT_KEYS` that holds a dict of
        arrays, else from the file's own top level; and the other entries (epoch, metrics, ...),
        of which there are none in the last case.

    Raises:
        UserError: as `read`, or the file holds no weights; the message lists what it holds.
    """
    content = read(path)
    if isinstance(content, dict):
        for key in WEIGHT_KEYS:
            if _is_weights(content.get(key)):
                return content[key], {k: v for k, v in content.items() if k != key}
        if _is_weights(content):
            return content, {}
    raise UserError(
        f'{path}: no weights found: expected a dict of tensors, at the top or under one of '
        f'{", ".join(WEIGHT_KEYS)}; found {_describe(content, depth=2)}. Save them from PyTorch '
        "with torch.save({'base_model': model.state_dict()}, path)"
    )


def write(path: str | os.PathLike, state_dict: Mapping[str, object], /, **extra: object) -> None:
    """Writes a checkpoint that `torch.load(path, weights_only=True)` reads.

    The file holds `{'base_model': state_dict, **extra}`. It is the same byte for byte for the same
    values, and replaces an older one only when it is complete.

    Args:
        path: the file; its folder exists.
        state_dict: arrays by key; numpy's, JAX's or numpy scalars, which become tensors.
        **extra: None, bool, int, float, str and arrays, in dicts, lists and tuples at will.

    Raises:
        UserError: values that such a file can't hold, all at once; or the path isn't writable.
    """
    path = pathlib.Path(path)
    try:
        if 'base_model' in extra:
            raise UserError("'base_model' holds the weights; give the other value another name")
        stray = [
            k for k, v in state_dict.items() if type(k) is not str or not hasattr(v, '__array__')
        ]
        if stray:
            raise UserError(f'weights are arrays by names; these entries are not: {stray}')
        weights = collections.OrderedDict(state_dict)
        data, arrays = torch_pickle.dump({'base_model': weights, **extra})
        _replace(path, data, arrays)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror or error}') from error


def _read(stream: BinaryIO) -> object:
    head = stream.read(512)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if head.startswith(ZIP_MAGIC):
        return _read_zip(stream, size)
    if LEGACY_MAGIC in head[LEGACY_HEADER]:
        return _read_legacy(stream, size)
    raise UserError(f'not a PyTorch .pth file but {_look_alike(head)}')


def _look_alike(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return 'an empty file'
    if text.startswith(b'<') and (b'html' in text or b'<!doctype' in text):
        return 'a web page, as from a download that needs a login; download it in a browser'
    if head[257:262] == b'ustar':
        return 'a tar archive; unpack it, or if PyTorch before 0.1.10 wrote it, save it anew'
    if head[8:10] == b'{"':
        return 'a safetensors file'
    known = [what for magic, what in LOOK_ALIKES.items() if head.startswith(magic)]
    return known[0] if known else f'something that starts with {head[:16]!r}'


def _read_zip(stream: BinaryIO, size: int) -> object:
    try:
        archive = zipfile.ZipFile(stream)
    except zipfile.BadZipFile as error:
        raise UserError(
            f'cut short: a zip archive whose end is missing after {size} bytes'
        ) from error
    entries = archive.infolist()
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise UserError('an encrypted zip archive; unpack it first')
    names = set(archive.namelist())
    roots = [name.removesuffix('data.pkl') for name in names if name.endswith('/data.pkl')]
    if len(roots) != 1:
        raise UserError(f'a zip archive, but not one by torch.save: it holds {sorted(names)[:5]}')
    root = roots[0]
    if f'{root}constants.pkl' in names:
        raise UserError('a TorchScript program; save model.state_dict() with torch.save instead')
    # PyTorch stores without compression, so no entry can claim more than the file's own size.
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise UserError('a compressed zip archive, not as torch.save writes it; unpack it first')
    if f'{root}byteorder' in names and archive.read(f'{root}byteorder') != b'little':
        raise UserError('written in big-endian order; save it again on a little-endian machine')
    tree, storages = torch_pickle.load(io.BytesIO(archive.read(f'{root}data.pkl')))
    memory = {key: np.frombuffer(archive.read(f'{root}data/{key}'), np.uint8) for key in storages}
    return torch_pickle.resolve(tree, memory)


def _read_legacy(stream: BinaryIO, size: int) -> object:
    torch_pickle.load(stream)
    (version, _), (system, _) = torch_pickle.load(stream), torch_pickle.load(stream)
    if version != LEGACY_VERSION:
        raise UserError(f'legacy format version {version!r}; expected {LEGACY_VERSION}')
    if not system['little_endian']:
        raise UserError('written in big-endian order; save it again on a little-endian machine')
    tree, storages = torch_pickle.load(stream)
    keys, _ = torch_pickle.load(stream)
    memory = {key: _legacy_storage(stream, size, storages[key].itemsize) for key in keys}
    return torch_pickle.resolve(tree, memory)


def _legacy_storage(stream: BinaryIO, size: int, itemsize: int) -> np.ndarray:
    needed = int.from_bytes(stream.read(8), 'little') * itemsize
    if needed > size - stream.tell():
        raise UserError(
            f'cut short: a tensor of {needed} bytes ends beyond the file of {size} bytes'
        )
    return np.fromfile(stream, np.uint8, needed)


def _is_weights(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, np.ndarray) for k, v in value.items())
    )


def _describe(value: object, depth: int) -> str:
    if isinstance(value, torch_pickle.Opaque):
        return f'an object of {value.name}'
    if isinstance(value, np.ndarray):
        return f'a tensor of shape {value.shape}'
    if not isinstance(value, dict):
        return f'a value of type {type(value).__name__}'
    entries = [f'{k!r}: {_describe(v, depth - 1)}' for k, v in [*value.items()][:8] if depth]
    more = ['...'] if depth and len(value) > 8 else []
    return f'a dict of {len(value)}' + (f' ({", ".join(entries + more)})' if entries else '')


def _replace(path: pathlib.Path, data: bytes, arrays: Sequence[np.ndarray]) -> None:
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        with temporary.open('wb') as stream:
            _write_zip(stream, data, arrays)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_zip(stream: BinaryIO, data: bytes, arrays: Sequence[np.ndarray]) -> None:
    # A ZipInfo made from a name alone has a fixed date, so equal values give equal files.
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr(zipfile.ZipInfo('archive/data.pkl'), data)
        archive.writestr(zipfile.ZipInfo('archive/byteorder'), b'little')
        for key, array in enumerate(arrays):
            archive.writestr(zipfile.ZipInfo(f'archive/data/{key}'), array.tobytes())
        archive.writestr(zipfile.ZipInfo('archive/version'), b'3\n')
