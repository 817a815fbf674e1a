"""What the names in a PyTorch pickle mean, in numpy.

Each entry of `VALUES` makes a value from a stand-in whose parts are values already: `args` is what
the name is called with, `state` what the made object is given after that.
"""

import math
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from point_ft_jax.core import pickled_numpy
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque, hashable, shown

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
FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
# Files written from CUDA tensors by older versions name torch.cuda.FloatStorage.
STORAGE_DTYPES = {
    f'{module}.{name}Storage': np.dtype(dtype)
    for module in ('torch', 'torch.cuda', 'torch.storage')
    for name, dtype in [*STORAGES.items(), ('Untyped', np.uint8)]
}
STORAGE_NAMES = {np.dtype(dtype): name for name, dtype in STORAGES.items()}
# The dtypes without a storage class of their own: their tensors name the dtype.
NAMED_DTYPES = {f'torch.uint{bits}': np.dtype(f'uint{bits}') for bits in (16, 32, 64)}
MOST_AXES = 32  # of a numpy array
MOST_REPEATED = 2**20  # elements of a tensor that repeats a smaller storage, as `expand` does


def storage(memory: Mapping[str, np.ndarray], key: str, dtype: np.dtype, size: int) -> np.ndarray:
    """A tensor storage, [size] of its dtype; raises a `UserError` if its bytes are fewer."""
    found, needed = memory[key].size, size * dtype.itemsize
    if found < needed:
        raise UserError(f'tensor storage {shown(key)} is cut short: {found} of {needed} bytes')
    return memory[key][:needed].view(dtype)


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *rest) -> np.ndarray:
    """A view of a storage; `rest` is requires_grad, hooks and flags of lazily changed signs."""
    if rest[2:] and rest[2]:
        raise UserError('holds a conjugated or negated view; save the tensor with .resolve_conj()')
    if not (_are_sizes((offset,)) and _are_sizes(shape) and _are_sizes(strides, len(shape))):
        raise UserError(
            f'a tensor has shape {shown(shape)}, strides {shown(strides)} and offset '
            f'{shown(offset)}'
        )
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or not storage.flags.c_contiguous:
        raise UserError('a tensor is not made from a storage')
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    what = f'a tensor of shape {shown(shape)}, strides {shown(strides)} and offset {shown(offset)}'
    if last >= storage.size:
        raise UserError(f'{what} reaches beyond the {storage.size} elements of its storage')
    if math.prod(shape) > max(storage.size, MOST_REPEATED):
        raise UserError(f'{what} repeats the {storage.size} elements of its storage too often')
    steps = tuple(stride * storage.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _are_sizes(values: object, length: int | None = None) -> bool:
    """Whether these are the sizes of the axes of a tensor, or something else that no error shows.

    Other things may be of any size and depth, so that a look at all of them would never end.
    """
    if type(values) is not tuple or len(values) > MOST_AXES or length not in (None, len(values)):
        return False
    return all(type(n) is int and n >= 0 for n in values)


def _tensor_of_named_dtype(storage: np.ndarray, *args) -> np.ndarray:
    *args, dtype = args[:6]
    if dtype.name not in NAMED_DTYPES:
        raise UserError(f'holds a tensor of type {dtype.name}, which this reader lacks')
    return _tensor(storage.view(NAMED_DTYPES[dtype.name]), *args)


def _tensor_of_subclass(rebuild: Opaque, cls: Opaque, args: tuple, state: object) -> np.ndarray:
    return TENSORS[rebuild.name](*args)


def _size(sizes: tuple = ()) -> tuple:
    sizes = tuple(sizes) if isinstance(sizes, list | tuple) and len(sizes) <= MOST_AXES else None
    if sizes is None or not _are_sizes(sizes):
        raise UserError('holds a torch.Size that is not of whole numbers')
    return sizes


def _complex(real: float = 0.0, imaginary: float = 0.0) -> complex:
    if not all(type(part) in (int, float) for part in (real, imaginary)):
        raise UserError('holds a complex number that is not made of two numbers')
    return complex(real, imaginary)


def _nothing() -> bytes:
    return b''


def _instance(value: Opaque) -> Opaque:
    """An object of a class of Python 2, or of a class that says how it is made."""
    value.name = value.args[0].name
    return value


def _filled(value: Opaque) -> dict:
    (start,) = value.args or ((),)
    pairs = start.items() if isinstance(start, dict) else start
    return {hashable(k): v for k, v in (*pairs, *value.items)}


def _distinct(kind: Callable[..., object]) -> Callable[..., object]:
    return lambda values=(): kind(map(hashable, values))


def _from_args(make: Callable[..., object]) -> Callable[[Opaque], object]:
    return lambda value: make(*value.args)


TENSORS = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_of_named_dtype,
    'torch._utils._rebuild_parameter': lambda data, *_: data,
    'torch._utils._rebuild_parameter_with_state': lambda data, *_: data,
    'torch._tensor._rebuild_from_type_v2': _tensor_of_subclass,
}
# The names that mean a value, each with how it is made.
VALUES: dict[str, Callable[[Opaque], object]] = {
    **{name: _from_args(make) for name, make in TENSORS.items()},
    **pickled_numpy.VALUES,
    'torch.Size': _from_args(_size),
    'builtins.set': _from_args(_distinct(set)),
    'builtins.frozenset': _from_args(_distinct(frozenset)),
    'builtins.complex': _from_args(_complex),
    'builtins.bytes': _from_args(_nothing),
    'collections.OrderedDict': _filled,
    'collections.defaultdict': lambda value: dict(value.items),
    'collections.Counter': _filled,
    'copyreg._reconstructor': _instance,
    'copyreg.__newobj__': _instance,
}
