"""Data sets by name."""

import difflib
import inspect
from collections.abc import Mapping
from types import ModuleType

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import raise_all
from point_ft_jax.data.split import Split

SPLITS = ('train', 'test')


def load_dataset(name: str, **options: object) -> dict[str, Split]:
    """The splits 'train' and 'test' of a data set.

    Args:
        name: one of `available('datasets')`.
        options: of the data set, such as `root`; see `point-ft check_data NAME --help`.

    Raises:
        UserError: an unknown name or option, one that must be set and is not, or what the reader
            finds wrong with the data.

    Examples:
        >>> from point_ft_jax import load_dataset
        >>> splits = load_dataset('shapes', style='cad', num_points=64, train_size=30, test_size=15)
        >>> splits['train'].points.shape, splits['test'].classes[:3]
        ((30, 64, 3), ('bag', 'bin', 'box'))
    """
    plugin = plugins.load('datasets', name)
    raise_all(option_problems(plugin, options), f'data set {name!r}:')
    if hasattr(plugin, 'load_splits'):  # both are drawn in one reading
        return plugin.load_splits(**options)
    return {split: plugin.load(split, **options) for split in SPLITS}


def option_problems(plugin: ModuleType, options: Mapping[str, object], flag: str = '') -> list[str]:
    """What is wrong with the options of a data set, a line each.

    `flag` is what stands before an option's name on the command line.
    """
    known = {n: p for n, p in inspect.signature(plugin.load).parameters.items() if n != 'split'}
    found = [_unknown(name, list(known)) for name in options if name not in known]
    found += [
        f'{name} is not set: give {flag}{name}=…'
        for name, parameter in known.items()
        if options.get(name, parameter.default) in (None, parameter.empty)
        and parameter.default is not None
    ]
    return found


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1)
    meant = f'did you mean {nearest[0]!r}? There' if nearest else 'there'
    return f'no option {name!r}; {meant} are {", ".join(known)}'
