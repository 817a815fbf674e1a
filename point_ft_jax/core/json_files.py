"""JSON on disk, and values in its types."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np


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
