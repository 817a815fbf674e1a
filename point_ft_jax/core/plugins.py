"""Plug-ins are files: the name that a user types is the name of a file in the kind's folder."""

import ast
import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from point_ft_jax.core.errors import UserError

# The package that holds the files of a kind.
PACKAGES = {
    'backbones': 'point_ft_jax.models.backbones',
    'datasets': 'point_ft_jax.data.datasets',
    'methods': 'point_ft_jax.methods',
    'jobs': 'point_ft_jax.experiments.jobs',
    'commands': 'point_ft_jax.commands',
}


def available(kind: str) -> list[str]:
    """The plug-ins of a kind, in alphabetical order.

    Args:
        kind: 'backbones', 'methods', 'datasets', 'jobs' or 'commands'.

    Raises:
        UserError: another kind.

    Examples:
        >>> from point_ft_jax import available
        >>> 'dapt' in available('methods'), 'point_mae' in available('backbones')
        (True, True)
    """
    if kind not in PACKAGES:
        raise UserError(f'there is no kind {kind!r} of plug-in; there are {", ".join(PACKAGES)}')
    package = importlib.import_module(PACKAGES[kind])
    return sorted(
        m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith('_')
    )


def load(kind: str, name: str) -> ModuleType:
    """The module of a plug-in.

    Raises:
        UserError: no file of that name; the message suggests the nearest and lists those there are.
    """
    known = available(kind)
    if name not in known:
        nearest = difflib.get_close_matches(name, known, 2, 0.5)
        suggestion = f'; did you mean {" or ".join(map(repr, nearest))}?' if nearest else '.'
        raise UserError(
            f'there is no {name!r} among the {kind}{suggestion} There are: {", ".join(known)}'
        )
    return importlib.import_module(f'{PACKAGES[kind]}.{name}')


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring; the file is read, not run."""
    spec = importlib.util.find_spec(f'{PACKAGES[kind]}.{name}')
    with open(spec.origin, encoding='utf-8') as file:
        text = ast.get_docstring(ast.parse(file.read())) or ''
    return text.split('\n')[0]


def table(kind: str) -> str:
    """The plug-ins of a kind with their summaries, a line each."""
    return aligned({name: summary(kind, name) for name in available(kind)})


def aligned(lines: Mapping[str, str]) -> str:
    """Names and what they are, a line each, in two columns."""
    width = max(map(len, lines), default=0)
    return '\n'.join(f'  {name:{width}}  {text}'.rstrip() for name, text in lines.items())
