"""NumPy arrays in lists out of a pickle, without running any of its code.

A pickle is a program. This reader lets it call three functions, all defined here, that can build
nothing but plain numeric arrays; any other name that a file asks for is refused, unimported.
"""

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from point_ft_jax.core.errors import UserError


def load(path: Path) -> Any:
    """The lists, tuples, dicts, numbers and strings of a pickle, with arrays as `np.ndarray`.

    Raises:
        UserError: a damaged file, or one that asks for anything but arrays; the message names it.
    """
    with open(path, 'rb') as file:
        try:
            return _resolve(_Unpickler(file, encoding='latin1').load())
        except UserError as error:
            raise UserError(f'{path} is refused, nothing of it was run: {error}') from None
        except Exception as error:
            # A damaged pickle can raise nearly anything.
            raise UserError(
                f'{path} is no readable pickle of arrays ({type(error).__name__}: {error}); '
                'download it again, or delete it to have it made anew'
            ) from None


class _Array:
    """What the pickle builds in the place of an array: its state arrives after it."""

    array = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        data = data.encode('latin1') if isinstance(data, str) else data
        self.array = _array(data, dtype, shape, 'F' if fortran else 'C')


class _Dtype:
    """What the pickle builds in the place of a number type: type, then byte order."""

    def __init__(self, code: str, *_: Any):
        self.dtype = np.dtype(code) if isinstance(code, str) else None
        if self.dtype is None or self.dtype.kind not in 'fiub':
            raise UserError(f'it holds arrays of {code!r}; expected numbers')

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


def _array(data: Any, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return array.astype(dtype.dtype.newbyteorder('='), copy=False)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = 'latin1') -> bytes:
    return text.encode('latin1')


def _never(*_: Any) -> NoReturn:
    raise UserError('it makes an array other than by reconstruction')


_ALLOWED = {
    ('numpy', 'ndarray'): _never,  # only ever an argument of _reconstruct
    ('numpy', 'dtype'): _Dtype,
    ('_codecs', 'encode'): _encode,
    **{(f'numpy.{c}.multiarray', '_reconstruct'): _reconstruct for c in ('core', '_core')},
    **{(f'numpy.{c}.numeric', '_frombuffer'): _array for c in ('core', '_core')},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(f'it asks for {module}.{name}; allowed are NumPy arrays only')
        return _ALLOWED[module, name]


def _resolve(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, list | tuple):
        return type(value)(map(_resolve, value))
    if isinstance(value, dict):
        return {key: _resolve(entry) for key, entry in value.items()}
    return value
