"""What a report was made from, on disk: one file of arrays, and the rest as JSON.

A record is a dataclass of this package whose module has `make_report`: from the file alone the
report can be made again, in seconds, where the data and the model are no longer available.
"""

import dataclasses
import importlib
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError

FILE = 'report.npz'
PACKAGE = 'point_ft_jax.'
CLASS, ARRAY = '<class>', '<array>'  # what stands for a dataclass and for an array in the JSON


def write(path: str | os.PathLike, record: Any) -> None:
    """Writes a record, the same record to the same bytes; whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_packed(record, arrays))
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + '.tmp')
    with temporary.open('wb') as file:
        np.savez_compressed(file, record=np.array(text), **arrays)
    os.replace(temporary, path)


def read(path: str | os.PathLike) -> Any:
    """The record of a file.

    Raises:
        UserError: there is none, it is broken, or this version knows no such record.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such file; expected what a finished run leaves for its report')
    try:
        with path.open('rb') as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        return _unpacked(json.loads(str(arrays.pop('record'))), arrays)
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise UserError(
            f'{path} cannot be read ({type(error).__name__}: {error}): it is broken, or of another '
            "version; the run's command, given again, writes it again"
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
