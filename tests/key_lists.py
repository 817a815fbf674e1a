"""The keys of published files: every state-dict entry of the reference models, with its shape.

A line of a list is 'P' or 'B' (parameter or buffer), the key and the shape.
"""

import functools
import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / 'golden' / 'keys'


@functools.cache
def key_list(name: str) -> tuple[tuple[str, list[int]], ...]:
    """The (key, shape) pairs of a list."""
    lines = (FOLDER / f'{name}.txt').read_text().splitlines()
    return tuple((key, json.loads(shape)) for _, key, shape in (s.split(' ', 2) for s in lines))


def state_dict(name: str, wrapper: str = '') -> dict[str, np.ndarray]:
    """Zeros under the keys of a list."""
    return {wrapper + key: np.broadcast_to(np.float32(0), shape) for key, shape in key_list(name)}
