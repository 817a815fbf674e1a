"""Plug-ins are files: the name in a config is the name of a file in the kind's folder."""

import importlib
import pkgutil
from types import ModuleType

from point_ft_jax.errors import UserError

KINDS = ('backbones', 'methods', 'data')


def names(kind: str) -> list[str]:
    """The plug-ins of a kind ('backbones', 'methods' or 'data'), in alphabetical order."""
    package = importlib.import_module(f'point_ft_jax.{kind}')
    return sorted(
        m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith('_')
    )


def load(kind: str, name: str) -> ModuleType:
    """The module of a plug-in.

    Raises:
        UserError: no file of that name; the message lists those there are.
    """
    if name not in names(kind):
        raise UserError(
            f'no plug-in {name!r} in {kind}; there are: {", ".join(names(kind))}. '
            f'To add one, put {name}.py into point_ft_jax/{kind}/.'
        )
    return importlib.import_module(f'point_ft_jax.{kind}.{name}')
