"""What numpy's names in a pickle mean: arrays, scalars, number types, and bytes of Python 2."""

import re
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque, shown

NUMBERS = re.compile(r'b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,3}')
CODECS = ('latin1', 'latin-1')


def dtype(value: Opaque) -> np.dtype | Opaque:
    """The type of a stand-in for numpy.dtype, of numbers or text, in either byte order.

    Of Python objects, records and times the stand-in; an array of these stays one too.
    """
    code = value.args[0] if value.args else None
    if type(code) is not str or not NUMBERS.fullmatch(code):
        return value
    order = value.state[1] if type(value.state) is tuple and len(value.state) > 1 else '|'
    return np.dtype(code).newbyteorder('>' if order == '>' else '=')


def array(data: Any, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    """The array of a shape, 'C' or 'F' in order, in the machine's byte order.

    Raises:
        UserError: parts of other types, or data that do not fill the shape.
    """
    data = data.encode('latin1') if type(data) is str else data
    plain = type(shape) is tuple and len(shape) <= 32 and all(type(n) is int for n in shape)
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
        raise UserError('holds a numpy array that is not as numpy writes it')
    if not plain or any(n < 0 for n in shape):
        raise UserError(f'holds a numpy array of shape {shown(shape)}')
    values = np.frombuffer(data, dtype).reshape(shape, order='F' if order == 'F' else 'C')
    return values.astype(dtype.newbyteorder('='), copy=False)


def _rebuilt(value: Opaque) -> np.ndarray | Opaque:
    _, shape, dtype, column_major, data = value.state
    if isinstance(dtype, Opaque):
        return value
    return array(data, dtype, shape, 'F' if column_major is True else 'C')


def _buffer(value: Opaque) -> np.ndarray | Opaque:
    data, dtype, shape, order = value.args
    if isinstance(dtype, Opaque):
        return value
    return array(data, dtype, shape, order if type(order) is str else 'C')


def _scalar(value: Opaque) -> np.generic | Opaque:
    dtype, data = value.args
    if isinstance(dtype, Opaque):
        return value
    return array(data, dtype, (1,), 'C')[0]


def _bytes(value: Opaque) -> bytes:
    text, encoding = value.args if len(value.args) == 2 else (*value.args[:1], 'latin1')
    if type(encoding) is not str or encoding not in CODECS:
        raise UserError(f'holds bytes in the encoding {shown(encoding)}; expected latin1')
    if type(text) is not str:
        raise UserError('holds bytes that are not made from a text')
    return text.encode('latin1')


VALUES = {
    '_codecs.encode': _bytes,
    'numpy.dtype': dtype,
    **{
        f'numpy.{core}.{name}': make
        for core in ('core', '_core')
        for name, make in {
            'multiarray._reconstruct': _rebuilt,
            'multiarray.scalar': _scalar,
            'numeric._frombuffer': _buffer,
        }.items()
    },
}
