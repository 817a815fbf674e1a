"""What the names in a PyTorch pickle mean, in numpy.

`VALUES` and `KEPT` are the names that a pickle may call, and no others. Each entry of `VALUES`
makes a value from a stand-in whose parts are values already: `args` is what the name is called
with, `state` what the made object is given after that.
"""

import re
from collections.abc import Callable, Mapping
from typing import Protocol

import ml_dtypes
import numpy as np

from point_ft_jax.core.errors import UserError

STORAGES = {
    'Double': np.float64,
    'Float': np.float32,
    'Half': np.float16,
    'BFloat16': ml_dtypes.bfloat16,
    'Long': np.int64,
    'Int': np.int32,
    'Short': np.int16,
    'Char': np.int8,
    'Byte': np.uint8,
    'Bool': np.bool_,
    'ComplexFloat': np.complex64,
    'ComplexDouble': np.complex128,
}
# Files written from CUDA tensors by older versions name torch.cuda.FloatStorage.
STORAGE_DTYPES = {
    f'{module}.{name}Storage': np.dtype(dtype)
    for module in ('torch', 'torch.cuda', 'torch.storage')
    for name, dtype in [*STORAGES.items(), ('Untyped', np.uint8)]
}
STORAGE_NAMES = {np.dtype(dtype): name for name, dtype in STORAGES.items()}
# The dtypes without a storage class of their own: their tensors name the dtype.
NAMED_DTYPES = {f'torch.uint{bits}': np.dtype(f'uint{bits}') for bits in (16, 32, 64)}


class StandIn(Protocol):
    """The parts of a stand-in that a value is made from."""

    name: str
    args: tuple
    state: object
    items: list[tuple[object, object]]


def storage(memory: Mapping[str, np.ndarray], key: str, dtype: np.dtype, size: int) -> np.ndarray:
    """A tensor storage, [size] of its dtype; raises a `UserError` if its bytes are fewer."""
    found, needed = memory[key].size, size * dtype.itemsize
    if found < needed:
        raise UserError(f'tensor storage {key!r} is cut short: {found} of {needed} bytes')
    return memory[key][:needed].view(dtype)


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *rest) -> np.ndarray:
    """A view of a storage; `rest` is requires_grad, hooks and flags of lazily changed signs."""
    if rest[2:] and rest[2]:
        raise UserError('holds a conjugated or negated view; save the tensor with .resolve_conj()')
    sizes = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in sizes):
        raise UserError(f'a tensor has shape {shape}, strides {strides} and offset {offset}')
    if storage.ndim != 1 or not storage.flags.c_contiguous:
        raise UserError('a tensor is not made from a storage')
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if last >= storage.size:
        raise UserError(
            f'a tensor of shape {shape}, strides {strides} and offset {offset} reaches beyond the '
            f'{storage.size} elements of its storage'
        )
    steps = tuple(stride * storage.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _tensor_of_named_dtype(storage: np.ndarray, *args) -> np.ndarray:
    *args, dtype = args[:6]
    if dtype.name not in NAMED_DTYPES:
        raise UserError(f'holds a tensor of type {dtype.name}, which this reader lacks')
    return _tensor(storage.view(NAMED_DTYPES[dtype.name]), *args)


def _tensor_of_subclass(rebuild: StandIn, cls: StandIn, args: tuple, state: object) -> np.ndarray:
    return TENSORS[rebuild.name](*args)


def _dtype(value: StandIn) -> np.dtype:
    code, order = value.args[0], value.state[1] if value.state else '|'
    if order == '>':
        raise UserError('holds numpy values in big-endian order, which this reader lacks')
    if not re.fullmatch(r'b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,4}', code):
        raise UserError(f'holds a numpy array of type {code!r}, which is not of numbers or text')
    return np.dtype(code)


def _array(value: StandIn) -> np.ndarray:
    _, shape, dtype, column_major, data = value.state
    return np.frombuffer(data, dtype).reshape(shape, order='F' if column_major else 'C')


def _array_of_buffer(data: bytes, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise UserError(f'holds bytes in the encoding {encoding!r} where PyTorch writes latin1')
    return text.encode('latin1')


def _instance(value: StandIn) -> StandIn:
    value.name = value.args[0].name
    return value


def _filled(value: StandIn) -> dict:
    return dict(*value.args) | dict(value.items)


def _from_args(make: Callable[..., object]) -> Callable[[StandIn], object]:
    return lambda value: make(*value.args)


TENSORS = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_of_named_dtype,
    'torch._utils._rebuild_parameter': lambda data, *_: data,
    'torch._utils._rebuild_parameter_with_state': lambda data, *_: data,
    'torch._tensor._rebuild_from_type_v2': _tensor_of_subclass,
}
# The names that a file may call, each with what it means here.
VALUES: dict[str, Callable[[StandIn], object]] = {
    **{name: _from_args(make) for name, make in TENSORS.items()},
    'torch.Size': _from_args(tuple),
    'builtins.set': _from_args(set),
    'builtins.frozenset': _from_args(frozenset),
    'builtins.complex': _from_args(complex),
    'builtins.bytes': _from_args(lambda: b''),
    '_codecs.encode': _from_args(_bytes),
    'collections.OrderedDict': _filled,
    'collections.defaultdict': lambda value: dict(value.items),
    'collections.Counter': _filled,
    'copyreg._reconstructor': _instance,
    'numpy.dtype': _dtype,
    **{
        f'numpy.{core}.{name}': make
        for core in ('core', '_core')
        for name, make in {
            'multiarray._reconstruct': _array,
            'multiarray.scalar': _from_args(lambda dtype, data: np.frombuffer(data, dtype)[0]),
            'numeric._frombuffer': _from_args(_array_of_buffer),
        }.items()
    },
}
# What a configuration saved beside the weights may hold: kept as stand-ins, never made.
KEPT = frozenset(
    f'{module}.{name}'
    for module, names in {
        'argparse': ['Namespace'],
        'builtins': [
            *('bool', 'bytearray', 'dict', 'float', 'int', 'list'),
            *('object', 'range', 'slice', 'str', 'tuple'),
        ],
        'collections': ['deque'],
        'datetime': ['date', 'datetime', 'time', 'timedelta', 'timezone'],
        'decimal': ['Decimal'],
        'fractions': ['Fraction'],
        'pathlib': ['Path', 'PosixPath', 'PurePosixPath', 'PureWindowsPath', 'WindowsPath'],
        'pathlib._local': ['Path', 'PosixPath', 'PurePosixPath', 'PureWindowsPath', 'WindowsPath'],
        'torch': ['device'],
        'types': ['SimpleNamespace'],
        'typing': ['Any'],
        'uuid': ['UUID'],
    }.items()
    for name in names
)
