"""JSON on disk, and values in its types.

A mapping is written with a 'checksum' of all its other fields, and is compared with it when it is
read. Files without one, written by hand or by an older version, are taken as they are.
"""

import hashlib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core import disk
from point_ft_jax.core.errors import UserError

LARGEST = 2**22  # bytes: no file of ours comes near
CHECKSUM, SHA = 'checksum', 'sha256:'


def read_json(path: pathlib.Path) -> Any:
    """What a JSON file holds, in JSON's types, without its checksum.

    Raises:
        UserError: it cannot be read, is larger than any of ours, is no JSON, or is not what was
            written.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f'{path} is no file; expected one of JSON')
        with path.open('rb') as stream:
            content = stream.read(LARGEST + 1)
        if len(content) <= LARGEST:
            return _checked(json.loads(content, parse_constant=_refuse), content, path)
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{path} cannot be read as JSON ({str(error)[:200]})') from None
    raise UserError(f'{path} has more than {LARGEST:,} bytes, which no JSON of ours has')


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no number of JSON')


def _checked(value: Any, content: bytes, path: pathlib.Path) -> Any:
    """The value without its checksum; UserError if it is not what `write_json` wrote."""
    if not isinstance(value, dict):
        return value
    rest = {name: item for name, item in value.items() if name != CHECKSUM}
    signed = {name: _digest(rest) if name == CHECKSUM else item for name, item in value.items()}
    # Its name or its value: one of them is there after a damage to the other.
    marked = CHECKSUM in value or any(
        isinstance(item, str) and item.startswith(SHA) for item in value.values()
    )
    if marked and (CHECKSUM not in value or content != _bytes(signed)):
        raise UserError(
            f'{path} is not what was written, since its checksum differs: it was damaged, or '
            'changed by hand. Bring it back from a copy, or remove it and give the command of the '
            "run again; without its line 'checksum' it is taken as it is"
        )
    return rest


def _digest(value: Mapping[str, Any]) -> str:
    return SHA + hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + '\n').encode()


def write_json(path: pathlib.Path, value: Any, order: bool = True) -> None:
    """Writes a JSON file whole or not at all; a mapping with its checksum.

    Args:
        path: the file; its folder exists.
        value: in JSON's types.
        order: whether the names of mappings are put in order.

    Raises:
        OSError: as `open`.
    """
    if isinstance(value, Mapping):
        value = json.loads(json.dumps(value))  # names that are numbers are sorted as texts
        value = {**value, CHECKSUM: _digest(value)}
    if order:
        value = json.loads(json.dumps(value, sort_keys=True))
    disk.write(path, _bytes(value))


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays as lists, names as strings, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    value = np.asarray(value).tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return plain(value)


def fields(value: Any, path: str = '') -> dict[str, Any]:
    """{dotted name: value} of nested dicts; a value that is no dict has the name `path`."""
    if not isinstance(value, dict):
        return {path: value}
    return {
        name: item
        for key, part in value.items()
        for name, item in fields(part, f'{path}.{key}' if path else key).items()
    }
