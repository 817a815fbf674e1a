"""The pickle inside a PyTorch file, read without importing or calling anything that it names.

Two steps. `load` turns every class and function of the pickle into an inert stand-in, an `Opaque`.
`resolve` then turns those of known names (tensors, numpy values, containers; the lists are in
`torch_values`) into values; an object of anybody else's class stays an `Opaque`.

Since nothing is ever imported, nothing can run. A file that tries is refused all the same, by two
rules: it may not name a part of Python's own library that is not on the lists, and it may not call
(REDUCE, INST, OBJ) anything that is not on them. Objects of other classes, such as the metric
classes in published checkpoints, are made without a call (NEWOBJ) and given their state (BUILD).
"""

import collections
import math
import os
import pickle
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from point_ft_jax.checkpoints.torch_values import (
    KEPT,
    STORAGE_DTYPES,
    STORAGE_NAMES,
    VALUES,
    storage,
)
from point_ft_jax.core.errors import UserError, raise_all

PLAIN = (type(None), bool, int, float, str)
HEADER = pickle.PROTO + b'\x02'
ORDERED_DICT = b'ccollections\nOrderedDict\n)R'


class Opaque:
    """A stand-in for what a pickle names: nothing of it was imported, called or run.

    Attributes:
        name: module and qualified name, such as 'tools.runner.Acc_Metric'.
        args: what it was made from.
        state: its attributes, usually a dict; None if it was given none.
        items: the key and value pairs it was filled with, for a kind of dict.
        elements: what was appended to it, for a kind of list.
    """

    name = ''

    # NEWOBJ makes an instance by __new__ alone; a call runs __init__ too, so it is refused there.
    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self.args = (*args, kwargs) if kwargs else args
        self.state, self.items, self.elements = None, [], []
        return self

    def __init__(self, *args, **kwargs):
        if self.name not in VALUES and self.name not in KEPT:
            raise _refusal('call', self.name)

    # With this method present, INST and OBJ without arguments count as calls.
    def __getinitargs__(self):
        return ()

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):
        self.items.append((key, value))

    def append(self, value):
        self.elements.append(value)

    def extend(self, values):
        self.elements.extend(values)

    def __repr__(self) -> str:
        return f'Opaque({self.name!r})'


class _Storage(Opaque):
    """The memory of tensors; its arguments are key, dtype and number of elements."""

    name = 'storage'


def _refusal(verb: str, name: str) -> UserError:
    return UserError(
        f'refused: the file asks Python to {verb} {name!r}, which plain weights never need. '
        'Nothing was run. Get the weights from a source you trust; if this file is your own, save '
        "the weights alone from PyTorch: torch.save({'base_model': model.state_dict()}, path)"
    )


class _WholeReads:
    """A stream that never returns less than asked for: half a name must not pass for a name."""

    def __init__(self, stream: BinaryIO):
        self.stream, position = stream, stream.tell()
        self.size = stream.seek(0, os.SEEK_END)
        stream.seek(position)

    def read(self, size: int) -> bytes:
        # Checked first, because a read sets aside memory for all that it is asked for.
        data = self.stream.read(size) if size <= self.size else b''
        if len(data) < size:
            raise EOFError('the pickle ends early')
        return data

    def readline(self) -> bytes:
        line = self.stream.readline()
        if not line.endswith(b'\n'):
            raise EOFError('the pickle ends early')
        return line


# The Python unpickler, not the C one: C allocates memory for any memo index that a file names.
class _Unpickler(pickle._Unpickler):
    def __init__(self, stream: BinaryIO):
        super().__init__(_WholeReads(stream), encoding='utf-8')
        self.storages: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> type[Opaque]:
        if self.proto < 3:
            module, name = NAME_MAPPING.get((module, name), (module, name))
            module = IMPORT_MAPPING.get(module, module)
        qualified = f'{module}.{name}'
        known = qualified in VALUES or qualified in KEPT
        if not known and module.partition('.')[0] in sys.stdlib_module_names:
            raise _refusal('use', qualified)
        return type(name, (Opaque,), {'name': qualified})

    def persistent_load(self, pid: object) -> object:
        match pid:
            case ('module', type(name=str()) as cls, *_):
                return cls
            case ('storage', type(name=str(kind)), str(key), str(), int(size), *view):
                dtype = STORAGE_DTYPES.get(kind)
                if dtype is None:
                    raise UserError(f'holds a tensor of an unknown type, {kind!r}')
                if any(view) or size < 0 or self.storages.setdefault(key, dtype) != dtype:
                    raise UserError(
                        f'the entry of tensor storage {key!r} is not as PyTorch writes it'
                    )
                return _Storage.__new__(_Storage, key, dtype, size)
        raise UserError('the reference to a tensor storage is not as PyTorch writes it')

    # The inherited method sets the bytes aside before it knows that they are there.
    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}


def load(stream: BinaryIO) -> tuple[object, dict[str, np.dtype]]:
    """Reads one pickle and leaves the stream behind its end.

    Returns:
        The object, with every class instance an inert `Opaque`, and the dtype of each tensor
        storage that it refers to, by the storage's key.

    Raises:
        UserError: the pickle asks for a call, or for a part of Python, that weights never need.
        Exception: anything else, if the pickle is damaged.
    """
    unpickler = _Unpickler(stream)
    return unpickler.load(), unpickler.storages


def resolve(tree: object, memory: Mapping[str, np.ndarray]) -> object:
    """The values of what `load` returned.

    Args:
        tree: the object; it is used up.
        memory: the bytes of every storage by its key, as one-dimensional uint8 arrays.

    Returns:
        The object with tensors as read-only numpy views into `memory`, numpy values as such, all
        kinds of dict as dicts; every other class instance stays an `Opaque` with resolved parts.

    Raises:
        UserError: a tensor reaches beyond its storage, or holds what numpy can't.
    """
    done: dict[int, tuple[object, object]] = {}

    def visit(value: object) -> object:
        if isinstance(value, str | bytes | int | float | None):
            return value
        if id(value) not in done:
            # The original is kept too: were it freed, another object could get its id.
            done[id(value)] = (value, value)
            done[id(value)] = (value, convert(value))
        return done[id(value)][1]

    def convert(value: object) -> object:
        match value:
            case _Storage():
                return storage(memory, *value.args)
            case Opaque():
                value.args, value.state = tuple(map(visit, value.args)), visit(value.state)
                value.items = [(visit(k), visit(v)) for k, v in value.items]
                value.elements = [visit(v) for v in value.elements]
                return VALUES[value.name](value) if value.name in VALUES else value
            case type():
                return value.__new__(value) if issubclass(value, Opaque) else value
            case dict():
                pairs = [(visit(k), visit(v)) for k, v in value.items()]
                value.clear()
                value.update(pairs)
                return value
            case list():
                value[:] = [visit(v) for v in value]
                return value
            case tuple() | set() | frozenset():
                return type(value)(map(visit, value))
        return value

    return visit(tree)


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
