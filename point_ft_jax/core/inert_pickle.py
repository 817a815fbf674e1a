"""Pickles of strangers, read without importing or calling anything that they name.

A pickle is a program for a small stack machine. `Unpickler` runs it with every class and function
replaced by an inert stand-in (`Name`, and `Opaque` for what is made of one); `resolve` then makes
values of the stand-ins whose names the caller knows, and leaves the others as they are.

Time and memory stay in proportion to the file:

- a pickle takes at most `MOST_STEPS` reads, and no read is longer than the file;
- only plain values are hashed (see `hashable`): the hash of a tuple visits all that is in it, which
  takes for ever where a tuple holds another one twice, thirty levels deep, and is a recursion in C;
- arguments are referred to, never unpacked, and what is made of them is counted against the file;
- the depth of nesting is bounded.
"""

import os
import pickle
import reprlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

import numpy as np

from point_ft_jax.core.errors import UserError

MOST_STEPS = 2_000_000  # PyTorch's tensors take about 65 each
DEEPEST = 100
LONGEST_NAME = 1000
MOST_NAMES = 10_000
MOST_MEMOS = 2**32
ATOMS = (type(None), bool, int, float, str, bytes)
LARGEST_KEY = 2**61 - 1  # from there on, integers can be chosen to have one hash

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxlist, _SHORT.maxdict = 2, 8, 8, 4
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: object) -> str:
    """The value for a message: short, however large or deep it is."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f'a number of {value.bit_length():,} bits'
    return _SHORT.repr(value) if type(value) in (*ATOMS, tuple, list) else type(value).__name__


class Opaque:
    """A stand-in for what a pickle makes: nothing of it was imported, called or run.

    Attributes:
        name: module and qualified name of its class, or of the function that makes it, such as
            'tools.runner.Acc_Metric'.
        args: what it was made from.
        state: its attributes, usually a dict; None if it was given none.
        items: the key and value pairs it was filled with, for a kind of dict.
        elements: what was appended to it, for a kind of list.
    """

    __slots__ = ('args', 'elements', 'items', 'name', 'state')

    def __init__(self, name: str, args: tuple = ()):
        self.name, self.args, self.state = name, args, None
        self.items: list[tuple[object, object]] | tuple = ()
        self.elements: list[object] | tuple = ()

    def __repr__(self) -> str:
        return f'Opaque({self.name!r})'


class Name(Opaque):
    """A stand-in for a class or a function itself."""

    __slots__ = ()


def hashable(value: object) -> object:
    """The value where it may be a key or an element of a set, else an `Opaque` around it.

    Those of its own are None, bool, int, float, str and bytes, numpy's scalars, and stand-ins.
    """
    if isinstance(value, int) and not -LARGEST_KEY < value < LARGEST_KEY:
        return Opaque('int key', (value,))
    real = isinstance(value, np.generic) and not isinstance(value, np.complexfloating)
    if type(value) in ATOMS or real or isinstance(value, Opaque):
        return value
    return Opaque(f'{type(value).__name__} key', (value,))


class _Reads:
    """A stream that counts its reads, and never returns less than asked for.

    Half a name must not pass for a name.
    """

    def __init__(self, stream: BinaryIO, most: int):
        self.stream, self.most, self.left = stream, most, most
        self.start = stream.tell()
        self.size = stream.seek(0, os.SEEK_END)
        stream.seek(self.start)

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise UserError(
                f'holds a pickle of more than {self.most:,} steps, which weights or arrays never '
                'need; nothing of it was run'
            )

    def read(self, size: int) -> bytes:
        self.count()
        # Checked first, because a read sets aside memory for all that it is asked for.
        data = self.stream.read(size) if size <= self.size else b''
        if len(data) < size:
            raise EOFError('the pickle ends early')
        return data

    def readline(self) -> bytes:
        self.count()
        line = self.stream.readline()
        if not line.endswith(b'\n'):
            raise EOFError('the pickle ends early')
        return line


# The Python unpickler, not the C one: C allocates memory for any memo index that a file names.
class Unpickler(pickle._Unpickler):
    """Reads one pickle into plain values and stand-ins; `permit` says which names may stand in it.

    Args:
        stream: where the pickle begins; it is left behind its end.
        encoding: of the texts of Python 2.
        most: the number of reads that it may take.
    """

    def __init__(self, stream: BinaryIO, encoding: str, most: int = MOST_STEPS):
        self.reads = _Reads(stream, most)
        super().__init__(self.reads, encoding=encoding)
        self.names: dict[str, Name] = {}

    def permit(self, module: str, name: str) -> None:
        """Raises a `UserError` for a name that the pickle may not use."""

    def permit_call(self, name: str, args: tuple) -> None:
        """Raises a `UserError` for a call that the pickle may not ask for."""

    @property
    def size(self) -> int:
        """The bytes read so far."""
        return self.reads.stream.tell() - self.reads.start

    def find_class(self, module: str, name: str) -> Name:
        if len(module) + len(name) > LONGEST_NAME:
            raise UserError(f'holds a name of {len(module) + len(name):,} characters')
        if self.proto < 3:
            module, name = NAME_MAPPING.get((module, name), (module, name))
            module = IMPORT_MAPPING.get(module, module)
        qualified = f'{module}.{name}'
        if qualified not in self.names:
            if len(self.names) == MOST_NAMES:
                raise UserError(f'holds a pickle with more than {MOST_NAMES:,} names of classes')
            self.permit(module, name)
            self.names[qualified] = Name(qualified)
        return self.names[qualified]

    def make(self, what: object, args: object) -> Opaque:
        """The stand-in for what a name makes of arguments."""
        if type(what) is Name and type(args) is tuple:
            self.permit_call(what.name, args)
            return Opaque(what.name, args)
        if isinstance(what, Opaque) and type(args) is tuple:
            # Called is what a call gave: no name that anybody knows.
            return Opaque(f'{what.name.removesuffix("(…)")}(…)', args)
        raise pickle.UnpicklingError('something is called that is no function')

    def load_frame(self) -> None:
        self.read(8)  # only says how much may be read at once

    # The inherited method sets the bytes aside before it knows that they are there.
    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        named, args = self.stack.pop(), self.stack.pop()
        made = self.make(self.stack[-1], args)
        made.args = (args, named) if named else args
        self.stack[-1] = made

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode('ascii') for _ in range(2))
        args = tuple(self.pop_mark())  # which gives self.append another stack
        self.append(self.make(self.find_class(module, name), args))

    def load_obj(self) -> None:
        what, *args = self.pop_mark()
        self.append(self.make(what, tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is not Opaque:
            raise pickle.UnpicklingError('a state is given to what has none')
        self.stack[-1].state = state

    def load_append(self) -> None:
        self.extend([self.stack.pop()])

    def load_appends(self) -> None:
        self.extend(self.pop_mark())

    def extend(self, values: list) -> None:
        target = self.stack[-1]
        if type(target) is Opaque:
            target.elements = target.elements or []
            target = target.elements
        if type(target) is not list:
            raise pickle.UnpicklingError('values are appended to what is no list')
        target.extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.fill([key, value])

    def load_setitems(self) -> None:
        self.fill(self.pop_mark())

    def fill(self, flat: list) -> None:
        pairs = zip(map(hashable, flat[::2]), flat[1::2], strict=True)
        target = self.stack[-1]
        if type(target) is Opaque:
            target.items = target.items or []
            target.items.extend(pairs)
        elif type(target) is dict:
            target.update(pairs)
        else:
            raise pickle.UnpicklingError('items are put into what is no dict')

    def load_dict(self) -> None:
        flat = self.pop_mark()
        self.append({})
        self.fill(flat)

    def load_empty_set(self) -> None:
        for _ in range(3):
            self.reads.count()  # one takes as much memory as four lists
        self.append(set())

    def load_additems(self) -> None:
        values = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError('elements are put into what is no set')
        self.stack[-1].update(map(hashable, values))

    def load_frozenset(self) -> None:
        values = self.pop_mark()
        self.append(frozenset(map(hashable, values)))

    def load_put(self) -> None:
        self.memo[self.memo_index()] = self.stack[-1]

    def load_get(self) -> None:
        self.append(self.memo[self.memo_index()])

    def memo_index(self) -> int:
        index = int(self.readline()[:-1])
        if not 0 <= index < MOST_MEMOS:
            raise pickle.UnpicklingError('an index of the memo is out of range')
        return index

    def load_refused(self) -> NoReturn:
        raise pickle.UnpicklingError('it refers to what is outside of it')

    dispatch = pickle._Unpickler.dispatch | {
        pickle.FRAME[0]: load_frame,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.INST[0]: load_inst,
        pickle.OBJ[0]: load_obj,
        pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.EMPTY_SET[0]: load_empty_set,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.PUT[0]: load_put,
        pickle.GET[0]: load_get,
        **dict.fromkeys((ext[0] for ext in (pickle.EXT1, pickle.EXT2, pickle.EXT4)), load_refused),
    }


Values = Mapping[str, Callable[[Any], object]]


def resolve(tree: object, values: Values, size: int) -> object:
    """What `Unpickler.load` returned, with stand-ins of known names as values.

    Args:
        tree: the object; it is used up.
        values: by name, what makes a value of a stand-in whose parts are values already.
        size: of the pickle in bytes: what is made of its parts may not come to much more.

    Returns:
        The object, its containers' parts replaced; other stand-ins stay, with resolved parts. What
        stood at several places still is one object.

    Raises:
        UserError: nested deeper than `DEEPEST`, or a file that makes far more than it holds; and
            whatever the functions in `values` raise.
    """
    return _Resolver(values, 4 * size + 1000).visit(tree)


class _Resolver:
    def __init__(self, values: Values, most: int):
        self.values, self.left, self.depth = values, most, 0
        # The original is kept too: were it freed, another object could get its id.
        self.done: dict[int, tuple[object, object]] = {}

    def visit(self, value: object) -> object:
        if type(value) in ATOMS:
            return value
        if id(value) not in self.done:
            self.done[id(value)] = (value, value)
            self.depth += 1
            if self.depth > DEEPEST:
                raise UserError(f'is nested deeper than {DEEPEST} levels; nothing of it was run')
            self.done[id(value)] = (value, self.convert(value))
            self.depth -= 1
        return self.done[id(value)][1]

    def convert(self, value: object) -> object:
        match value:
            case Opaque():
                return self.of_stand_in(value)
            case dict():
                pairs = [(self.key(k), self.visit(v)) for k, v in value.items()]
                value.clear()
                value.update(pairs)
                return value
            case list():
                value[:] = [self.visit(v) for v in value]
                return value
            case tuple():
                return tuple([self.visit(v) for v in value])
            case set() | frozenset():
                return type(value)([self.key(v) for v in value])
        return value

    def of_stand_in(self, value: Opaque) -> object:
        value.args, value.state = self.visit(value.args), self.visit(value.state)
        if value.items:
            value.items = [(self.key(k), self.visit(v)) for k, v in value.items]
        if value.elements:
            value.elements = [self.visit(v) for v in value.elements]
        if value.name not in self.values or type(value) is Name:
            return value
        self.left -= sum(map(_length, (*value.args[:8], *_first(value.state))))
        if self.left < 0:
            raise UserError('makes far more of its parts than it holds; nothing of it was run')
        return self.values[value.name](value)

    def key(self, key: object) -> object:
        """The resolved key where it is still one, else the stand-in."""
        value = self.visit(key)
        return value if hashable(value) is value else key


def _length(part: object) -> int:
    return len(part) if isinstance(part, (str, bytes, bytearray, list, tuple, dict, set)) else 0


def _first(state: object) -> tuple:
    return state[:8] if isinstance(state, tuple) else (state,)
