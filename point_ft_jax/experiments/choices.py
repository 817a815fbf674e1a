"""Options of what a config names: of a data set, a backbone, a method, an adaptation.

A file of configs/ has the options of what it names itself. A command line may name another, and
any option that this one takes: the file's own that do not belong to it give way, with a word.
"""

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.evaluation.adaptation import ADAPTATIONS
from point_ft_jax.experiments.config import own_clouds
from point_ft_jax.models import options


@dataclasses.dataclass(frozen=True)
class Choice:
    """A field that names something, and where the options of what it names are.

    Attributes:
        name: the dotted name of the field.
        what: what a message calls it.
        sections: the dotted names of the sections with its options.
        takes: from a name to its options, each with a default and a type.
        own: whether an option means something only for the one it was written for, as the rank of a
            method: all of the file's then give way, not only those that the new one lacks.
    """

    name: str
    what: str
    sections: tuple[str, ...]
    takes: Callable[[str], 'Options']
    own: bool = False


Options = Mapping[str, Any]  # from an option to its inspect.Parameter, or to Options


def settle(config: ConfigDict, given: Mapping[str, str]) -> list[str]:
    """What gave way in `config`, a line for each choice; it is changed in place.

    Args:
        config: as its file says it.
        given: the fields that the command line sets, by their dotted names, with their texts.

    Raises:
        UserError: a name that there is not, or an option that what is named does not take.
    """
    lines = [line for choice in CHOICES for line in _settled(config, choice, given)]
    return [*lines, *_settled_size(config, given)]


def of(config: ConfigDict) -> list[Choice]:
    """The choices that a config has, and makes."""
    return [choice for choice in CHOICES if value(config, choice.name)]


def _settled_size(config: ConfigDict, given: Mapping[str, str]) -> Iterator[str]:
    """The published size of a backbone that lacks the one of the config's file."""
    if 'model.backbone' not in given or 'model.variant' in given:
        return
    name, before = given['model.backbone'], config.model.variant
    sizes = plugins.load('backbones', name).BACKBONE.variants
    if before not in sizes:
        config.model.variant = 'base'
        yield (
            f'backbone {name} has no size {before!r}, which the config names: its base in place of '
            f'it; --config.model.variant takes {", ".join(sizes)}'
        )


def _settled(config: ConfigDict, choice: Choice, given: Mapping[str, str]) -> Iterator[str]:
    before = value(config, choice.name)
    if not isinstance(before, str):
        return
    name = given.get(choice.name, before)
    if not name:
        return
    replaced = name != before
    asked = [field for field in given if field.startswith(tuple(f'{s}.' for s in choice.sections))]
    asked = [field for field in asked if field != choice.name]
    if not replaced and not asked:
        return
    takes = choice.takes(name)
    for section in choice.sections:
        if replaced and isinstance(value(config, section), ConfigDict):
            gone = _give_way(value(config, section), takes, choice.own, _below(section, choice))
            if gone:
                yield (
                    f'{choice.what} {name} in place of {before}: what the config says for {before} '
                    f'alone gives way ({gone}); --config.{section}.OPTION=VALUE sets others'
                )
        if replaced and name in OF_ONES_OWN:
            _complete(value(config, section), takes)
        for field in asked:
            if field.startswith(f'{section}.'):
                _add(config, section, field.removeprefix(f'{section}.'), takes, choice.what, name)


def _below(section: str, choice: Choice) -> tuple[str, ...]:
    """The fields of a section that are no options: the name itself."""
    return (choice.name.removeprefix(f'{section}.'),) if choice.name.startswith(section) else ()


def _give_way(section: ConfigDict, takes: Options, own: bool, kept: tuple[str, ...]) -> str:
    """Removes from a section the options that do not belong to the new choice; names them."""
    gone = [
        k for k in section if k not in kept and (own or not _fits(section.get(k), takes.get(k)))
    ]
    shown = [f'{k}={section.get(k)!r}' for k in gone if section.get(k) is not None]
    for name in gone:
        del section[name]
    return ', '.join(shown)


OF_ONES_OWN = ('folder', 'part_folder')  # data sets that configs begin as `own_clouds` has them


def _complete(section: ConfigDict, takes: Options) -> None:
    """Adds what configs for clouds of one's own say, above all that clouds are normalised."""
    for name, value in own_clouds().items():
        if name in takes and name not in section:
            empty = config_dict.placeholder(own_clouds().get_type(name))
            section[name] = empty if value is None else value


def _fits(value: object, parameter: inspect.Parameter | Options | None) -> bool:
    """Whether an option takes a value: of a hierarchical backbone num_groups is no number."""
    if not isinstance(parameter, inspect.Parameter):
        return parameter is not None
    default = parameter.default
    numbers = isinstance(value, int | float) and isinstance(default, int | float)
    return (
        numbers
        or value is None
        or default in (None, parameter.empty)
        or (isinstance(value, type(default)))
    )


def _add(
    config: ConfigDict, section: str, option: str, takes: Options, what: str, name: str
) -> None:
    """Makes room in a section for an option that the command line sets."""
    *above, last = option.split('.')
    place = value(config, section)
    for word in above:
        inner = takes.get(word)
        if not isinstance(inner, Mapping):
            return  # an option that is a mapping of its own: its fields are those of the config
        takes = inner
        if word not in place:
            place[word] = ConfigDict()
        place = place[word]
    if last not in takes:
        raise UserError(
            f'--config.{section}.{option}: {what} {name} has no option {last!r}; it has '
            f'{", ".join(takes) or "none"}'
        )
    if last not in place:
        place[last] = _default(takes[last])


def _default(parameter: inspect.Parameter | Options) -> Any:
    """A value of the option's type, which a flag then changes."""
    if isinstance(parameter, Mapping):
        return ConfigDict()
    if parameter.default not in (None, parameter.empty):
        return parameter.default
    hint = parameter.annotation
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (tuple, collections.abc.Sequence):
        return ()
    return config_dict.placeholder(hint if hint in (int, float, bool) else str)


def value(config: ConfigDict, dotted: str) -> Any:
    """The value of a dotted field; None where there is none."""
    for word in dotted.split('.'):
        if not isinstance(config, ConfigDict) or word not in config:
            return None
        config = config.get(word)
    return config


HIDDEN = {*options.HIDDEN, 'split', 'module', 'mesh', 'batch_size'}


def _parameters(make: Callable) -> Options:
    """The options that a function or a class takes, with their types."""
    hints = typing.get_type_hints(make.func if hasattr(make, 'func') else make)
    return {
        name: parameter.replace(annotation=hints.get(name, str))
        for name, parameter in inspect.signature(make).parameters.items()
        if name not in HIDDEN
        and (parameter.default is parameter.empty or not callable(parameter.default))
    }


def _of_dataset(name: str) -> Options:
    return _parameters(plugins.load('datasets', name).load)


def _of_backbone(name: str) -> Options:
    return _parameters(plugins.load('backbones', name).BACKBONE.build)


def _of_method(name: str) -> Options:
    """A method's; of several, each one's by its name."""
    found = {n: _parameters(plugins.load('methods', n).METHOD.tuner) for n in name.split('+')}
    return found if len(found) > 1 else found[name]


def _of_adaptation(name: str) -> Options:
    return _parameters(ADAPTATIONS[name]) if name in ADAPTATIONS else {}


CHOICES = (
    Choice('data.name', 'data set', ('data',), _of_dataset),
    Choice('model.backbone', 'backbone', ('model.geometry', 'svm.geometry'), _of_backbone),
    Choice('method.name', 'method', ('method.options',), _of_method, own=True),
    Choice('adapt.name', 'adaptation', ('adapt.options',), _of_adaptation, own=True),
)
