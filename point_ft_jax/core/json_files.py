"""JSON on disk, and values in its types."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError

LARGEST = 2**22  # bytes: no file of ours comes near


def read_json(path: pathlib.Path) -> Any:
    """What a JSON file holds, in JSON's types.

    Raises:
        UserError: it cannot be read, is larger than any of ours, or is no JSON.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f'{path} is no file; expected one of JSON')
        with path.open('rb') as stream:
            content = stream.read(LARGEST + 1)
        if len(content) <= LARGEST:
            return json.loads(content, parse_constant=_refuse)
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{path} cannot be read as JSON ({str(error)[:200]})') from None
    raise UserError(f'{path} has more than {LARGEST:,} bytes, which no JSON of ours has')


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no number of JSON')


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + '\n')
    os.replace(temporary, path)


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
