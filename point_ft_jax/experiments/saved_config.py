"""The config of a run, read back from its config.json, so that the run can be given again.

`command_line` loads this file in the place of one of configs/ where `--config` names a JSON file.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json
from point_ft_jax.experiments.config import (
    default,
    judging,
    own_clouds,
    pretraining,
    robust,
)

# The fields of a job beside those of `default`.
SKELETONS = {
    'finetune': default,
    'compare': default,
    'pretrain': pretraining,
    'robust': robust,
}
# Sections whose fields are options of what they name: nothing is added to them.
FREE = ('data', 'compare', 'geometry', 'options', 'decoder')


def get_config(path: str) -> ConfigDict:
    """The config in a run's config.json, with the run's folder as its own.

    The run goes on where it was, and a finished one is read back; --config.folder=NEW trains again.

    Raises:
        UserError: the file cannot be read or holds no config.
    """
    plain = read_json(pathlib.Path(path).expanduser())
    if not isinstance(plain, Mapping) or not isinstance(plain.get('job'), str):
        raise UserError(f'{path} is no config of a run; expected the config.json in its folder')
    config = _completed(plain, skeleton(plain['job']))
    config.folder = str(pathlib.Path(path).expanduser().absolute().parent)
    return config


def skeleton(job: str) -> ConfigDict:
    """The fields of a job's configs, with their defaults."""
    return SKELETONS[job]() if job in SKELETONS else judging(job)


def _completed(plain: Mapping[str, Any], known: ConfigDict) -> ConfigDict:
    """The values, in their types, and what the known fields have beside them."""
    config = ConfigDict()
    for name, value in plain.items():
        below = known.get(name, ConfigDict()) if isinstance(value, Mapping) else None
        if below is not None:
            own = ConfigDict() if name in FREE or not isinstance(below, ConfigDict) else below
            config[name] = _completed(value, own)
        elif value is None:
            config[name] = config_dict.placeholder(_type(name))
        else:
            config[name] = _tuple(value)
    for name in known:
        if name not in config:
            value = known.get(name)
            config[name] = config_dict.placeholder(_type(name)) if value is None else value
    return config


def _type(name: str) -> type:
    """Of a field that is not set."""
    known = own_clouds().get_type(name) if name in own_clouds() else str
    return known if known in (int, float, str) else str


def _tuple(value: Any) -> Any:
    """JSON's lists are the tuples that they were."""
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
