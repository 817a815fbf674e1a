"""What a checkpoint's own record says of its backbone, in the place of what a config says.

Sizes and the like have to be those that the weights were made with, and whoever fine-tunes them
should not have to remember them. How many groups of how many points there are goes with the number
of points: the papers pre-train on 1,024 in 64 groups, and fine-tune on 2,048 in 128. So a record's
groups count where clouds have as many points as it saw.
"""

from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from point_ft_jax.checkpoints import record
from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments.build import backbone_spec
from point_ft_jax.models import geometry
from point_ft_jax.models.spec import Spec

GROUPS = ('num_groups', 'group_size', 'group_sizes')


def settle(config: ConfigDict, given: Mapping[str, str]) -> list[str]:
    """What of `config` the record of its checkpoint replaces, in lines; it is changed in place.

    What the command line gives stays. A checkpoint that cannot be read is left to those who load
    it, and one without a record, such as a published file, changes nothing.

    Args:
        config: of a job; one whose checkpoint is that of a finished run to be judged has no need.
        given: the fields that the command line sets, with their texts.

    Raises:
        UserError: a record of another backbone; see `record.check_backbone`.
    """
    if 'init' not in config or config.get('run'):
        return []
    source = given.get('init.checkpoint', config.init.checkpoint)
    try:
        made = record.read(source)
        now = backbone_spec(config, given)
    except UserError:
        return []
    record.check_backbone(str(source), made, now.backbone)
    return [] if made is None else list(_settled(config, given, str(source), made))


def _settled(
    config: ConfigDict, given: Mapping[str, str], source: str, made: Spec
) -> Iterator[str]:
    now = backbone_spec(config, given)
    if now.backbone == made.backbone and 'model.variant' not in given:
        if config.model.variant != made.variant:
            yield f'model.variant is {made.variant}, as {source} was made, not {now.variant}'
            config.model.variant = made.variant
        now = backbone_spec(config, given)
    as_many = record.points(source) == int(given.get('points', config.points))
    for name, (then, here) in geometry.differences(made, now).items():
        if f'model.geometry.{name}' in given or (name in GROUPS and not as_many):
            continue  # the report of loading names it
        config.model.geometry[name] = then
        yield f'model.geometry.{name} is {then}, as {source} was made, not {here}'
    yield from _settled_method(config, given, source)


def _settled_method(config: ConfigDict, given: Mapping[str, str], source: str) -> Iterator[str]:
    """Options by which a method sees the backbone as it was pre-trained."""
    name = given.get('method.name', config.method.name)
    if name not in plugins.available('methods') or config.job == 'pretrain':
        return
    for option, value in plugins.load('methods', name).METHOD.as_pretrained.items():
        if f'method.options.{option}' in given or config.method.options.get(option) == value:
            continue
        config.method.options[option] = value
        yield f'method.options.{option} is {value}, as {source} was made'
