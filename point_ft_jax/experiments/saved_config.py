"""The config of a run, read back from its config.json, so that the run can be given again.

`command_line` loads this file in the place of one of configs/ where `--config` names a JSON file.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from point_ft_jax.core.errors import UserError, raise_all
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
    known = skeleton(plain['job'])
    raise_all([*_odd(plain, known)], f'{path} is no config of a run:')
    config = _completed(plain, known)
    config.folder = str(pathlib.Path(path).expanduser().absolute().parent)
    return config


def skeleton(job: str) -> ConfigDict:
    """The fields of a job's configs, with their defaults."""
    return SKELETONS[job]() if job in SKELETONS else judging(job)


def _odd(plain: Mapping[str, Any], known: ConfigDict, place: str = '') -> Iterator[str]:
    """A sentence for each value of another kind than its field has: section, text, number."""
    for name, value in plain.items():
        expected = known.get(name)
        if isinstance(expected, ConfigDict) and isinstance(value, Mapping):
            yield from () if name in FREE else _odd(value, expected, f'{place}{name}.')
        elif expected is not None and not isinstance(value, _kinds(expected)):
            what = 'a section' if isinstance(expected, ConfigDict) else f'such as {expected!r}'
            yield f'{place}{name} is {repr(value)[:80]}; expected {what}'


def _kinds(expected: Any) -> tuple[type, ...]:
    """What JSON may have for a field, by its default; one value may stand for several."""
    if isinstance(expected, ConfigDict):
        return (Mapping,)
    if isinstance(expected, str):
        return (str, type(None))
    if isinstance(expected, bool):
        return (bool,)
    return (int, float, list, type(None))


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
