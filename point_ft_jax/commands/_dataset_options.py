"""Flags of the command line for the options of a data set's `load`."""

import argparse
import collections.abc
import inspect
import types
import typing
from collections.abc import Callable

from point_ft_jax.core import flags


def parser(program: str, load: Callable) -> flags.Parser:
    """A parser with a flag for every option of a data set's `load`."""
    result = flags.Parser(
        prog=program,
        description=inspect.getdoc(load),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(load)
    for option, parameter in inspect.signature(load).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        required = parameter.default is inspect.Parameter.empty
        result.add_argument(
            f'--{option}',
            required=required,
            default=None if required else parameter.default,
            type=_converter(hints.get(option, str)),
            help='required' if required else f'default: {parameter.default}',
        )
    return result


def _converter(hint: type) -> Callable[[str], object]:
    """What turns a flag's text into a value of a type: of the first one of a union."""
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is collections.abc.Sequence:
        return _several
    return _boolean if hint is bool else hint if hint in (int, float) else str


def _several(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(',') if word.strip())


def _boolean(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise argparse.ArgumentTypeError(f'{text!r}; expected True or False')
    return text.lower() == 'true'
