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

from point_ft_jax.checkpoints import torch_pickle, torch_values
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque, shown

WEIGHT_KEYS = ('base_model', 'model', 'model_state_dict', 'state_dict', 'module')
# A legacy file starts with this number, behind a pickle header whose length is the protocol's.
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]
LEGACY_HEADER = slice(2, 32)
LEGACY_VERSION = 1001
MOST_STEPS_OF_HEAD = 1000
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
        memory where the tensors did; instances of other classes as inert `inert_pickle.Opaque`.

    Raises:
        UserError: no such file, not such a file, damaged, or it asks to run code; nothing runs.
    """
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError('neither a file nor a folder but a device or a pipe')
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
            f'({type(error).__name__}: {str(error)[:200]}); get the file again'
        ) from error


def state_dict(
    path: str | os.PathLike, key: str | None = None, prefix: str = ''
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The weights of a checkpoint file, and what lies beside them.

    Args:
        path: of the file.
        key: the entry that holds the weights, such as 'net', or 'ema.net' for one inside another;
            None to find it: the first of `WEIGHT_KEYS` with tensors, else the file's own top level,
            else the one entry with tensors.
        prefix: take the weights whose names begin so, such as 'student.', and drop it from them.

    Returns:
        The arrays by their names; and everything else, from the file's top level (epoch, metrics,
        ...) and from among the weights, where things that are no tensors are left aside. Instances
        of other classes are inert `inert_pickle.Opaque`.

    Raises:
        UserError: as `read`; or the file holds no weights, or none under `key` or `prefix`: the
            message lists what it holds.
    """
    content = read(path)
    weights, beside = _under(path, content, key) if key is not None else _found(path, content)
    return below(path, weights, beside, prefix)


def below(
    path: str | os.PathLike, weights: dict[str, np.ndarray], beside: dict[str, object], prefix: str
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The weights whose names begin with `prefix`, without it; the others join what lies beside.

    Raises:
        UserError: no name begins so.
    """
    if not prefix:
        return weights, beside
    names = [name for name in weights if name.startswith(prefix)]
    if not names:
        parts = sorted({name.partition('.')[0] for name in weights})
        raise UserError(
            f'{path}: no weight has a name that begins with {prefix!r}; they begin with '
            f'{_some(parts)}'
        )
    others = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    return {name.removeprefix(prefix): weights[name] for name in names}, beside | others


def _found(path: str | os.PathLike, content: object) -> tuple[dict, dict]:
    """The weights where they are not told, and the rest."""
    entries = content if isinstance(content, dict) else {}
    for key in WEIGHT_KEYS:
        if _tensors(entries.get(key)):
            return _split(entries, key)
    candidates = [key for key, value in entries.items() if _has_parameters(value)]
    if not candidates and _has_parameters(content):
        weights = _tensors(content)
        return weights, {k: v for k, v in content.items() if k not in weights}
    if len(candidates) == 1:
        return _split(entries, candidates[0])
    hint = f' Say which of {_some(candidates)} holds them: --key=….' if candidates else ''
    raise UserError(
        f'{path}: no weights found: expected a dict of tensors, at the top or under one of '
        f'{", ".join(WEIGHT_KEYS)}; found {_describe(content, depth=2)}.{hint} Save them from '
        "PyTorch with torch.save({'base_model': model.state_dict()}, path)"
    )


def _under(path: str | os.PathLike, content: object, key: str) -> tuple[dict, dict]:
    """The weights in the entry `key`, and the rest."""
    entries, name = content, key
    while isinstance(entries, dict) and name not in entries and '.' in name:
        first, _, name = name.partition('.')
        entries = entries.get(first)
    if isinstance(entries, dict) and _tensors(entries.get(name)):
        return _split(entries, name)
    found = entries.get(name) if isinstance(entries, dict) and name in entries else content
    what = 'holds no tensors: it is' if found is not content else 'is not there; found'
    raise UserError(f'{path}: the entry {key!r} {what} {_describe(found, depth=2)}')


def _split(entries: dict, key: object) -> tuple[dict, dict]:
    """The tensors of the entry `key`; what else it holds, and what lies beside it."""
    weights = _tensors(entries[key])
    others = {k: v for k, v in entries[key].items() if k not in weights}
    return weights, {k: v for k, v in entries.items() if k != key} | others


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
        return 'a tar archive; unpack it, or if PyTorch before 0.1.10 wrote it, save it again'
    if head[8:10] == b'{"':
        return 'a safetensors file; name it .safetensors'
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
    tree, storages, length = torch_pickle.load(io.BytesIO(archive.read(f'{root}data.pkl')))
    memory = {key: np.frombuffer(archive.read(f'{root}data/{key}'), np.uint8) for key in storages}
    return torch_pickle.resolve(tree, memory, length)


def _read_legacy(stream: BinaryIO, size: int) -> object:
    torch_pickle.load(stream, MOST_STEPS_OF_HEAD)
    (version, *_), (system, *_) = (torch_pickle.load(stream, MOST_STEPS_OF_HEAD) for _ in range(2))
    if type(version) is not int or version != LEGACY_VERSION:
        raise UserError(f'legacy format version {shown(version)}; expected {LEGACY_VERSION}')
    if not system['little_endian']:
        raise UserError('written in big-endian order; save it again on a little-endian machine')
    tree, storages, length = torch_pickle.load(stream)
    keys, *_ = torch_pickle.load(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise UserError('the list of its tensor storages is not as PyTorch writes it')
    memory = {key: _legacy_storage(stream, size, storages[key].itemsize) for key in keys}
    return torch_pickle.resolve(tree, memory, length)


def _legacy_storage(stream: BinaryIO, size: int, itemsize: int) -> np.ndarray:
    needed = int.from_bytes(stream.read(8), 'little') * itemsize
    if needed > size - stream.tell():
        raise UserError(
            f'cut short: a tensor of {needed} bytes ends beyond the file of {size} bytes'
        )
    return np.fromfile(stream, np.uint8, needed)


def _tensors(value: object) -> dict[str, np.ndarray]:
    """The tensors by their names in a dict; none of anything else."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {k: v for k, v in pairs if type(k) is str and isinstance(v, np.ndarray)}


def _has_parameters(value: object) -> bool:
    """Whether there are tensors of real numbers: states of random generators are of others."""
    kinds = {tensor.dtype for tensor in _tensors(value).values()}
    return any(np.dtype(kind) in kinds for kind in torch_values.FLOATS)


def _some(names: Sequence[object]) -> str:
    return ', '.join(map(shown, names[:8])) + (', ...' if len(names) > 8 else '')


def _describe(value: object, depth: int) -> str:
    if isinstance(value, Opaque):
        return f'an object of {value.name[:80]}'
    if isinstance(value, np.ndarray):
        return f'a tensor of shape {value.shape}'
    if not isinstance(value, dict):
        return f'a value of type {type(value).__name__}'
    entries = [f'{shown(k)}: {_describe(v, depth - 1)}' for k, v in [*value.items()][:8] if depth]
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
