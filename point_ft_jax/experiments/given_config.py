"""The config that a command line gives: a file's, with what follows from what the line changes.

`config_files.resolved` names this file in place of the one that was given, which it loads.
"""

import importlib.util
import pathlib
import sys
import traceback
from types import ModuleType

from ml_collections import ConfigDict

from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import choices, config_files, recorded, saved_config


def get_config(argument: str) -> ConfigDict:
    """The config of `FILE` or `FILE:VARIANT`, a Python file or a run's config.json.

    What gave way to the command line, and what a checkpoint's own record says, is printed.

    Raises:
        UserError: a file that gives no config, or options that what is named does not take.
    """
    file, _, variant = argument.partition(':')
    given = config_files.changes(sys.argv)
    saved = file.endswith('.json')
    config = saved_config.get_config(file) if saved else _loaded(file, variant)
    notes = choices.settle(config, given)
    if 'train.batch_size' in given and 'train' in config:
        config.train.fewest_steps = 0  # the batches asked for, however few clouds there are
    if not saved or 'init.checkpoint' in given:
        notes += recorded.settle(config, given)
    for note in notes:
        print(f'note: {note}', file=sys.stderr)
    return config


def _loaded(file: str, variant: str) -> ConfigDict:
    """What get_config of a Python file returns."""
    try:
        get = _module(file).get_config
        return get(variant) if variant else get()
    except UserError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f'line {last.lineno} of {pathlib.Path(last.filename).name}'
        raise UserError(
            f'the config {file} cannot be loaded: {type(error).__name__}: {error} ({place})'
        ) from None


def _module(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location('given_config_file', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
