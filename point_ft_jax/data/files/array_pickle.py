"""NumPy arrays in lists out of a pickle, without running any of its code.

A pickle is a program; see `core.inert_pickle`. Here it may name what numpy arrays are made with,
and nothing else: any other name is refused, unimported.
"""

from pathlib import Path
from typing import Any

import numpy as np

from point_ft_jax.core import inert_pickle, pickled_numpy
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque

CLASSES = ('numpy.ndarray',)  # only ever an argument


def load(path: Path) -> Any:
    """The lists, tuples, dicts, numbers and strings of a pickle, with arrays as `np.ndarray`.

    Raises:
        UserError: a damaged file, or one that asks for anything but arrays; the message names it.
    """
    try:
        with open(path, 'rb') as file:
            unpickler = _Unpickler(file, 'latin1')
            found = inert_pickle.resolve(unpickler.load(), VALUES, unpickler.size)
            _check_parts(found, unpickler.size)
            return found
    except UserError as error:
        raise UserError(f'{path} is refused, nothing of it was run: {error}') from None
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise UserError(
            f'{path} is no readable pickle of arrays ({type(error).__name__}: '
            f'{str(error)[:200]}); download it again, or delete it to have it made anew'
        ) from None


def _check_parts(value: object, most: int) -> None:
    """Raises a `UserError` for containers that hold one another so often that no array ends.

    numpy visits a list as often as it stands somewhere: one that holds another twice, fifty levels
    deep, would take for ever.
    """
    left = [value]
    while left:
        part = left.pop()
        most -= 1
        if most < 0:
            raise UserError('its lists hold the same parts more often than it has bytes')
        if isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            left.extend(part)


class _Unpickler(inert_pickle.Unpickler):
    def permit(self, module: str, name: str) -> None:
        if f'{module}.{name}' not in (*VALUES, *CLASSES):
            raise UserError(f'it asks for {module}.{name}; allowed are NumPy arrays only')

    def permit_call(self, name: str, args: tuple) -> None:
        if name in CLASSES:
            raise UserError('it makes an array other than by reconstruction')


def _number_type(value: Opaque) -> np.dtype:
    found = pickled_numpy.dtype(value)
    if not isinstance(found, np.dtype) or found.kind not in 'fiub':
        raise UserError(f'it holds arrays of {inert_pickle.shown(value.args[0])}; expected numbers')
    return found


VALUES = pickled_numpy.VALUES | {'numpy.dtype': _number_type}
