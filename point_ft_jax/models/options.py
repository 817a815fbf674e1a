"""The options of a model's parts: the fields of backbones, heads, tuners and autoencoders."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all

HIDDEN = ('parent', 'name', 'dtype', 'num_classes', 'num_parts')  # fields that are no options
# The options that are sizes, those that are numbers of blocks, and those that are probabilities.
SIZES = (
    *('width', 'widths', 'depth', 'depths', 'decoder_depth', 'decoder_depths', 'heads'),
    *('decoder_heads', 'num_groups', 'group_size', 'group_sizes', 'radii'),
    *('rank', 'hidden', 'neighbors', 'local'),
)
DEPTHS = ('depth', 'depths', 'decoder_depth', 'decoder_depths')
RATES = (
    *('drop_path', 'dropout', 'adapter_dropout', 'prompt_dropout', 'shift_dropout'),
    'shape_dropout',
)
MOST_BLOCKS = 1000  # tracing more would take minutes: a typing error, or a damaged file
# The type of an option to what it is called, and whether a value has it.
KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ('True or False', lambda value: isinstance(value, bool)),
    int: ('a whole number', lambda value: _is_number(value) and isinstance(value, Integral)),
    float: ('a finite number', lambda value: _is_number(value) and np.isfinite(value)),
    str: ('a text', lambda value: isinstance(value, str)),
    tuple: ('a list', lambda value: isinstance(value, tuple | list)),
}


def check(what: str, make: Callable, options: Mapping[str, object]) -> None:
    """Raises UserError unless `make` takes all of `options`, with values of their types and ranges.

    Args:
        what: the part, for the message, which lists what it takes.
        make: its class, or a function; the types of its fields are those of their defaults.
        options: their values by name.
    """
    if not isinstance(options, Mapping):
        raise UserError(f'the options of {what} are {options!r}; expected values by name')
    known = {
        name: field
        for name, field in inspect.signature(make).parameters.items()
        if name not in HIDDEN
    }
    if unknown := [name for name in options if name not in known]:
        raise UserError(
            f'{what} has no option {", ".join(unknown)}; it has {", ".join(known) or "none"}'
        )
    problems = [
        f'{name} is {value!r}; expected {expected}'
        for name, value in options.items()
        if (expected := _expected(name, value, known[name]))
    ]
    if not problems:
        usual = {n: f.default for n, f in known.items() if f.default is not f.empty}
        problems = _width_problems({**usual, **options})
    raise_all(problems, f'{what} cannot be built:')


def _expected(name: str, value: Any, field: inspect.Parameter) -> str:
    """What is expected of an option in place of its value; '' if this is all right."""
    # A field that may be None has its other type in its annotation.
    kinds = [*typing.get_args(field.annotation)] if _is_union(field.annotation) else []
    if value is None and (types.NoneType in kinds or field.default is None):
        return ''
    kind = next((k for k in kinds if k is not types.NoneType), type(field.default))
    said, fits = KINDS.get(typing.get_origin(kind) or kind, ('', lambda _: True))
    if not fits(value):
        return said
    if isinstance(value, tuple | list) and isinstance(field.default, tuple) and field.default:
        said, fits = KINDS.get(type(field.default[0]), ('', lambda _: True))
        if not all(map(fits, value)):
            return f'a list, each of its items {said}'
    return _expected_of_numbers(name, value)


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (types.UnionType, typing.Union)


def _expected_of_numbers(name: str, value: Any) -> str:
    numbers = [v for v in (value if isinstance(value, tuple | list) else (value,)) if _is_number(v)]
    if name in SIZES and any(v <= 0 for v in numbers):
        return 'more than 0'
    if name in DEPTHS and any(v > MOST_BLOCKS for v in numbers):
        return f'{MOST_BLOCKS} blocks at most'
    if name in RATES and any(not 0 <= v < 1 for v in numbers):
        return '0 or more and less than 1'
    return '0 or more' if any(v < 0 for v in numbers) else ''


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _width_problems(fields: Mapping[str, Any]) -> list[str]:
    """What is wrong with a width that its heads do not divide."""
    name = next((name for name in ('width', 'widths') if name in fields), '')
    number = fields.get('heads', 1)
    if name and (np.atleast_1d(fields[name]) % number).any():
        return [f'{name} is {fields[name]}; expected a multiple of {number} heads']
    return []
