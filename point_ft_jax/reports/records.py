"""What a report was made from, on disk: one file of arrays, and the rest as JSON.

A record is a dataclass of this package whose module has `make_report`: from the file alone the
report can be made again, in seconds, where the data and the model are no longer available.
"""

import dataclasses
import importlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core import array_file, disk
from point_ft_jax.core.errors import UserError

FILE = 'report.npz'
PACKAGE = 'point_ft_jax.'
CLASS, ARRAY = '<class>', '<array>'  # what stands for a dataclass and for an array in the JSON


def write(path: str | os.PathLike, record: Any) -> None:
    """Writes a record, the same record to the same bytes; whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_packed(record, arrays))
    array_file.write(pathlib.Path(path), {'record': np.array(text), **arrays}, packed=True)


def read(path: str | os.PathLike) -> Any:
    """The record of a file.

    Raises:
        UserError: there is none, it is broken, or this version knows no such record.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such file; expected what a finished run leaves for its report')
    try:
        arrays = array_file.read(path, unsigned=True)
        return _unpacked(json.loads(str(arrays.pop('record'))), arrays)
    except Exception as error:  # of an older or newer version, it may lack or have anything
        reason = str(error) if isinstance(error, UserError) else disk.one_line(error)
        raise UserError(
            f"{path} cannot be read ({reason}): it is broken, or of another version; the run's "
            'command, given again, writes it again'
        ) from None


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if dataclasses.is_dataclass(value):
        kind = type(value)
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {CLASS: f'{kind.__module__}.{kind.__qualname__}', **_packed(fields, arrays)}
    if isinstance(value, Mapping):
        return {str(name): _packed(item, arrays) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        arrays[f'array_{len(arrays)}'] = value
        return {ARRAY: f'array_{len(arrays) - 1}'}
    if isinstance(value, list | tuple):
        return [_packed(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return arrays[value[ARRAY]]
    items = {name: _unpacked(item, arrays) for name, item in value.items() if name != CLASS}
    return _class(value[CLASS])(**items) if CLASS in value else items


def _class(name: str) -> type:
    """A dataclass of this package by its full name; ValueError for anything else."""
    module, _, own = name.rpartition('.')
    found = getattr(importlib.import_module(module), own) if name.startswith(PACKAGE) else None
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f'{name} is no record')
    return found
