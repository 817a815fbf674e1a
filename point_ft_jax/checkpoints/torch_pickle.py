"""The pickle inside a PyTorch file, read without importing or calling anything that it names.

Two steps. `load` turns every class and function of the pickle into an inert stand-in, see
`core.inert_pickle`. `resolve` then turns those of known names (tensors, numpy values, containers;
the list is in `torch_values`) into values; an object of anybody else's class stays an `Opaque`: an
Enum, a logger, a metric, whatever a framework for training keeps beside the weights.

Since nothing is ever imported, nothing can run. A file that tries is refused all the same: see
`pickle_names`.
"""

import collections
import math
import pickle
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from point_ft_jax.checkpoints import pickle_names
from point_ft_jax.checkpoints.torch_values import STORAGE_DTYPES, STORAGE_NAMES, VALUES, storage
from point_ft_jax.core import inert_pickle
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.inert_pickle import MOST_STEPS, Name, Opaque, shown

PLAIN = (type(None), bool, int, float, str)
HEADER = pickle.PROTO + b'\x02'
ORDERED_DICT = b'ccollections\nOrderedDict\n)R'
STORAGE = 'storage'  # the name of a stand-in for the memory of tensors


class _Unpickler(inert_pickle.Unpickler):
    def __init__(self, stream: BinaryIO, most: int):
        super().__init__(stream, 'utf-8', most)
        self.storages: dict[str, np.dtype] = {}

    def permit(self, module: str, name: str) -> None:
        pickle_names.permit(module, name)

    def permit_call(self, name: str, args: tuple) -> None:
        pickle_names.permit_call(name, args)

    def persistent_load(self, pid: object) -> object:
        match pid:
            case ('module', Name() as cls, *_):
                return cls
            case ('storage', Name(name=kind), str(key), str(), int(size), *view):
                dtype = STORAGE_DTYPES.get(kind)
                if dtype is None:
                    raise UserError(f'holds a tensor of an unknown type, {kind!r}')
                if any(view) or size < 0 or self.storages.setdefault(key, dtype) != dtype:
                    raise UserError(
                        f'the entry of tensor storage {shown(key)} is not as PyTorch writes it'
                    )
                return Opaque(STORAGE, (key, dtype, size))
        raise UserError('the reference to a tensor storage is not as PyTorch writes it')


def load(stream: BinaryIO, most: int = MOST_STEPS) -> tuple[object, dict[str, np.dtype], int]:
    """Reads one pickle and leaves the stream behind its end.

    Args:
        stream: where the pickle begins.
        most: the number of reads that it may take.

    Returns:
        The object, with every class instance an inert `Opaque`; the dtype of each tensor storage
        that it refers to, by the storage's key; and the size of the pickle in bytes.

    Raises:
        UserError: the pickle asks for a call, or for a part of Python, that weights never need, or
            for more steps than `most`.
        Exception: anything else, if the pickle is damaged.
    """
    unpickler = _Unpickler(stream, most)
    return unpickler.load(), unpickler.storages, unpickler.size


def resolve(tree: object, memory: Mapping[str, np.ndarray], size: int) -> object:
    """The values of what `load` returned.

    Args:
        tree: the object; it is used up.
        memory: the bytes of every storage by its key, as one-dimensional uint8 arrays.
        size: of the pickle.

    Returns:
        The object with tensors as read-only numpy views into `memory`, numpy values as such, all
        kinds of dict as dicts; every other class instance stays an `Opaque` with resolved parts.

    Raises:
        UserError: a tensor reaches beyond its storage, or holds what numpy can't; nesting without
            an end.
    """
    made = {STORAGE: lambda value: storage(memory, *value.args)}
    return inert_pickle.resolve(tree, VALUES | made, size)


def dump(content: Mapping[str, object]) -> tuple[bytes, list[np.ndarray]]:
    """The pickle, in protocol 2, of nested dicts, lists and tuples of plain values and arrays.

    Returns:
        The pickle, which names PyTorch's own functions for the tensors, and the arrays of the
        storages '0', '1', ... that it refers to.

    Raises:
        UserError: values of other types or dtypes, all of them in one message.
    """
    arrays, problems = [], []

    def push(value: object, where: str = '') -> bytes:
        if type(value) in PLAIN:
            return pickle.dumps(value, protocol=2).removeprefix(HEADER).removesuffix(pickle.STOP)
        if hasattr(value, '__array__'):
            return push_array(np.asarray(value), where)
        if type(value) in (list, tuple):
            inner = b''.join(push(v, f'{where}[{i}]') for i, v in enumerate(value))
            return b'](' + inner + b'e' if type(value) is list else b'(' + inner + b't'
        if type(value) in (dict, collections.OrderedDict):
            inner = b''.join(push_entry(k, v, where) for k, v in value.items())
            return (b'}(' if type(value) is dict else ORDERED_DICT + b'(') + inner + b'u'
        problems.append(f'{where}: a value of type {type(value).__name__}')
        return b''

    def push_entry(key: object, value: object, where: str) -> bytes:
        where = f'{where}.{key}' if where else str(key)
        if type(key) not in PLAIN:
            problems.append(f'{where}: a key of type {type(key).__name__}')
            return b''
        return push(key) + push(value, where)

    def push_array(array: np.ndarray, where: str) -> bytes:
        if array.dtype not in STORAGE_NAMES:
            problems.append(f'{where}: an array of dtype {array.dtype}')
            return b''
        arrays.append(array)
        strides = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
        kind = f'ctorch\n{STORAGE_NAMES[array.dtype]}Storage\n'.encode()
        key = push(str(len(arrays) - 1))
        memory = b'(' + push('storage') + kind + key + push('cpu') + push(array.size) + b'tQ'
        view = push(0) + push(array.shape) + push(strides) + push(False) + ORDERED_DICT
        return b'ctorch._utils\n_rebuild_tensor_v2\n(' + memory + view + b'tR'

    data = HEADER + push(content) + pickle.STOP
    known = ', '.join(str(dtype) for dtype in STORAGE_NAMES)
    heading = f'a .pth file holds None, bool, int, float, str and arrays of {known}; found:'
    raise_all(problems, heading)
    return data, arrays
