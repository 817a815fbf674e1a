"""Whether the processes of a run are about to do the same."""

import functools
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import fields

ROOT = pathlib.Path(__file__).parents[2]
LIBRARIES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')


def check(facts: Mapping[str, Any]) -> None:
    """Compares what the processes of a run bring, and tells all of them what differs.

    Args:
        facts: names to values in JSON's types; nested mappings are compared field by field.

    Raises:
        UserError: a fact of some process is not that of process 0.
    """
    if jax.process_count() == 1:
        return
    own = fields(json.loads(json.dumps(facts, default=str)))
    theirs = [dict(json.loads(text)) for text in _gathered(json.dumps(own, sort_keys=True))]
    first = theirs[0]
    lines = [
        f'{name}: {first.get(name)!r} in process 0, {other.get(name)!r} in process {number}'
        for number, other in enumerate(theirs)
        for name in sorted(first.keys() | other.keys())
        if first.get(name) != other.get(name)
    ]
    if lines:
        raise UserError(
            '\n  - '.join(
                [
                    'the processes of this run would not do the same; give all the same config, '
                    'data, code and libraries:',
                    *lines[:12],
                    *([f'and {len(lines) - 12} more'] if len(lines) > 12 else []),
                ]
            )
        )


@functools.cache
def versions() -> dict[str, str]:
    """A hash of the code of this package, and the versions of what it computes with."""
    digest = hashlib.sha256()
    for package in ('kernels', 'point_ft_jax'):
        for path in sorted((ROOT / package).rglob('*.py')):
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {'code of point_ft_jax': digest.hexdigest()[:16], **libraries}


def _gathered(text: str) -> list[str]:
    """The texts of all processes, in their order."""
    content = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.asarray(len(content))).reshape(-1)
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: len(content)] = content
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]
