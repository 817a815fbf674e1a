"""What a model is, as names and plain options: all that has to be kept of it beside its weights.

A spec is written as spec.json into every folder that holds weights, and `models.build` makes the
model of it. It holds no code: names are looked up among the files of backbones/ and methods/.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all

VERSION = 1  # of the format; a field that changes its meaning makes it 2
LONGEST = 1000  # of a list
LEVELS = 8  # of options in options
LARGEST = 10**6  # of a count in a spec: beyond any model, and below what would exhaust a machine

Options = Mapping[str, object]
Words = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Spec:
    """What both kinds of spec do: check their fields' types, and go to JSON."""

    KIND: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        raise_all(_problems(type(self), vars(self)), f'this {self.KIND} is not well specified:')

    def to_json(self) -> dict[str, Any]:
        """The spec in JSON's types, with its 'kind' and the 'version' of the format."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {'kind': self.KIND, 'version': VERSION, **_listed(fields)}


@dataclasses.dataclass(frozen=True)
class ModelSpec(_Spec):
    """A classifier or part segmenter, by the names of its parts.

    Attributes:
        backbone: the name of a file in `backbones/`.
        num_classes: C, of a part segmenter the categories.
        variant: one of the backbone's sizes.
        method: the name of a file in `methods/`, or several: 'ssf+lora' is SSF around LoRA around
            the backbone, and trains what any of the two trains.
        method_options: fields of the method's tuner, such as DAPT's `rank`; for several methods
            keyed by their names.
        trainable: patterns of what trains, in place of the method's own; see `Method`.
        num_parts: P, for a part segmenter; None for a classifier.
        geometry: fields of the backbone that differ from the variant's, such as `num_groups`.
        readout: what the head reads; () for the method's choice, or the backbone's.
        head: fields of the head that differ from the backbone's published one; {'kind': 'text'}
            for one of text features, see `zero_shot.TextHead`.
        dtype: what to compute in: 'float32' (the parameters' type) or 'bfloat16'; parameters are
            float32 either way.
        batch_norm: the statistics of a frozen backbone's batch norms: 'hold' them, or 'update'
            them as the references do.
    """

    KIND = 'model'

    backbone: str
    num_classes: int
    variant: str = 'base'
    method: str = 'full'
    method_options: Options = dataclasses.field(default_factory=dict)
    trainable: Words = ()
    num_parts: int | None = None
    geometry: Options = dataclasses.field(default_factory=dict)
    readout: Words = ()
    head: Options = dataclasses.field(default_factory=dict)
    dtype: str = 'float32'
    batch_norm: str = 'hold'


@dataclasses.dataclass(frozen=True)
class AutoencoderSpec(_Spec):
    """A masked autoencoder that pre-trains a backbone.

    Attributes:
        backbone: the name of a file in `backbones/` whose pre-training is a masked autoencoder.
        variant, geometry, dtype: as a `ModelSpec`'s.
        options: fields of the autoencoder, such as `mask_ratio` and `decoder_depth`.
        teachers: the width of each teacher's features, by name: 'image', 'text'.
        contrast: whether the class token is projected, for the contrastive loss.
    """

    KIND = 'autoencoder'

    backbone: str
    variant: str = 'base'
    geometry: Options = dataclasses.field(default_factory=dict)
    options: Options = dataclasses.field(default_factory=dict)
    teachers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    contrast: bool = False
    dtype: str = 'float32'


Spec = ModelSpec | AutoencoderSpec
KINDS = {kind.KIND: kind for kind in (ModelSpec, AutoencoderSpec)}


def from_json(value: object, source: str) -> Spec:
    """The spec of what `to_json` returned.

    Args:
        value: of a JSON file.
        source: where it came from, for the message.

    Raises:
        UserError: a newer version, an unknown kind, or fields that are unknown, missing, or of
            another type; the message says what was found and what was expected.
    """
    if not isinstance(value, Mapping):
        raise UserError(f'{source} holds {_named(value)}; expected the fields of a spec by name')
    version = value.get('version')
    if not _is_count(version):
        raise UserError(f'{source} has the version {_named(version)}; expected a number from 1 on')
    if version > VERSION:
        raise UserError(
            f'{source} has version {version}, of a newer point_ft_jax; this one reads up to '
            f'{VERSION}: install the one that wrote it, or a newer one'
        )
    if value.get('kind') not in (*KINDS,):
        raise UserError(
            f'{source} has the kind {_named(value.get("kind"))}; expected {" or ".join(KINDS)}'
        )
    kind = KINDS[value['kind']]
    given = {name: _plain(v) for name, v in value.items() if name not in ('kind', 'version')}
    raise_all(_problems(kind, given), f'{source} does not say what {kind.KIND} this is:')
    return kind(**given)


def _problems(kind: type[_Spec], given: Mapping[str, object]) -> list[str]:
    """What is wrong with the fields of a spec, a line each."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [name for name in given if name not in fields]
    problems = [f'no field {_named(name)}; there are {", ".join(fields)}' for name in unknown[:4]]
    for name, field in fields.items():
        what, fits = EXPECTED[field.type]
        if name in given and not fits(given[name]):
            problems.append(f'{name} is {_named(given[name])}; expected {what}')
        elif name not in given and _is_required(field):
            problems.append(f'{name} is missing; expected {what}')
    return problems


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= LARGEST


def _is_words(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) <= LONGEST
        and all(isinstance(word, str) for word in value)
    )


def _is_options(value: object, level: int = 0) -> bool:
    return isinstance(value, dict) and all(
        isinstance(k, str) and _is_plain(v, level) for k, v in value.items()
    )


def _is_plain(value: object, level: int = 0) -> bool:
    """Whether JSON keeps the value as it is, and no model of it would fill the machine."""
    if level > LEVELS:
        return False
    if isinstance(value, tuple):
        return len(value) <= LONGEST and all(_is_plain(item, level + 1) for item in value)
    if type(value) is int:
        return -LARGEST <= value <= LARGEST
    return value is None or isinstance(value, bool | float | str) or _is_options(value, level + 1)


def _is_widths(value: object) -> bool:
    return _is_options(value) and all(map(_is_count, value.values()))


COUNT = f'a whole number from 1 to {LARGEST:,}'
# The type of a field to what it is called, and whether a value has it.
EXPECTED = {
    str: ('a text', lambda value: isinstance(value, str)),
    bool: ('true or false', lambda value: isinstance(value, bool)),
    int: (COUNT, _is_count),
    int | None: (f'{COUNT}, or nothing', lambda value: value is None or _is_count(value)),
    Words: ('a list of texts', _is_words),
    Options: (
        f'options by name, of numbers up to {LARGEST:,}, texts and lists',
        _is_options,
    ),
    Mapping[str, int]: ('whole numbers from 1 on, by name', _is_widths),
}


def _plain(value: object) -> object:
    """The value with lists as tuples (Flax hashes its fields), and numpy's scalars as Python's."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _listed(value: object) -> Any:
    """The value with tuples as lists."""
    if isinstance(value, dict):
        return {name: _listed(item) for name, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _named(value: object) -> str:
    """The value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}…'
