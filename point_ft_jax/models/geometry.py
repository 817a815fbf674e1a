"""What a backbone computes with: its geometry with every field, and how two of them differ."""

import inspect
from collections.abc import Mapping

from point_ft_jax.core import plugins
from point_ft_jax.models.build import variant_of
from point_ft_jax.models.spec import Spec

# Fields that say how a backbone trains, not what it computes.
OF_TRAINING = ('drop_path', 'hold_statistics', 'memory', 'dtype', 'parent', 'name')
PLAIN = (int, float, str, tuple, list, type(None))  # types of fields that a spec can have


def whole(spec: Spec) -> dict[str, object]:
    """Every field of a spec's backbone that changes what it computes, defaults and size included.

    Raises:
        UserError: an unknown backbone or size.
    """
    plugin = plugins.load('backbones', spec.backbone).BACKBONE
    fields = {
        name: parameter.default
        for name, parameter in inspect.signature(plugin.build).parameters.items()
        if isinstance(parameter.default, PLAIN)
    }
    found = {**fields, **variant_of(spec, plugin), **spec.geometry}
    return {name: value for name, value in found.items() if name not in OF_TRAINING}


def differences(made: Spec, now: Spec) -> dict[str, tuple[object, object]]:
    """The fields in which a backbone differs from what its weights were made as: (then, now).

    Between two sizes of a backbone the fields that make the size do not count: its name says that
    they differ. Neither do fields that only one of the two backbones has, or whose type differs, as
    the number of groups of a hierarchical one: the user did not choose them.
    """
    before, after = whole(made), whole(now)
    same = (made.backbone, made.variant) == (now.backbone, now.variant)
    sizes = plugins.load('backbones', now.backbone).BACKBONE.variants.values()
    skipped = () if same else {name for size in sizes for name in size}
    return {
        name: (then, after[name])
        for name, then in before.items()
        if name in after and name not in skipped and _differ(then, after[name])
    }


def listed(differing: Mapping[str, tuple[object, object]]) -> str:
    """'num_groups 32 (here 64), …', of what `differences` gives."""
    return ', '.join(f'{name} {then} (here {now})' for name, (then, now) in differing.items())


def _differ(one: object, other: object) -> bool:
    alike = type(one) is type(other) or None in (one, other)
    return alike and one != other
