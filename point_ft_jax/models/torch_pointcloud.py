"""The names of torch-pointcloud's models, to those of the references' code and back.

torch-pointcloud (Apache-2.0) publishes converted weights of Point-MAE, Point-BERT, Point-M2AE and
PointGPT under module names of its own. Everything else here knows the references' names, so that
a file is translated where it is read. The rules are on whole names between dots. Three things are
more than names: its linear maps are written without the trailing axis of a convolution's kernel;
its propagation of features to the points has the coordinates behind the features, where the
references have them in front, so that the columns of its first map move; and PointGPT's classifier
lacks a map that the reference keeps and never reads.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.models.torch_names import COUNTER, LEAVES, without_module

PROJECT = 'torch-pointcloud'
COORDINATES = 3

# Modules, theirs and the references': '*' stands for any parts in front, '{n}' for a number.
Rule = tuple[str, str]
TOKENIZER: tuple[Rule, ...] = (
    *((f'*local_mlp.lins.{i}', f'*first_conv.{3 * i}') for i in range(3)),
    *((f'*local_mlp.norms.{i}', f'*first_conv.{3 * i + 1}') for i in range(2)),
    *((f'*global_mlp.lins.{i}', f'*second_conv.{3 * i}') for i in range(2)),
    ('*global_mlp.norms.0', '*second_conv.1'),
)
POSITIONS: tuple[Rule, ...] = tuple(
    (f'*{name}.lins.{i}', f'*{name}.{2 * i}')
    for name in ('pos_embed', 'encoder_pos_embeds.{n}')
    for i in range(2)
)
MLPS: tuple[Rule, ...] = (
    *((f'*blocks.{{n}}.mlp.lins.{i}', f'*blocks.{{n}}.mlp.fc{i + 1}') for i in range(2)),
    *((f'*layers.{{n}}.mlp.lins.{i}', f'*layers.{{n}}.mlp.{2 * i}') for i in range(2)),
)
PARTS: tuple[Rule, ...] = (
    ('label_conv.lins.0', 'label_conv.0'),
    ('label_conv.norms.0', 'label_conv.1'),
    *(
        (f'{name}.mlp.{kind}.{{n}}', f'{name}.mlp_{other}.{{n}}')
        for name in ('propagation_0', 'propagations.{m}')
        for kind, other in (('lins', 'convs'), ('norms', 'bns'))
    ),
    *((f'head.lins.{i}', f'convs{i + 1}') for i in range(4)),
    *((f'head.norms.{i}', f'bns{i + 1}') for i in range(3)),
)
COMMON = (*TOKENIZER, *POSITIONS, *MLPS)
# The references' modules whose kernels are convolutions', and those that see coordinates first.
CONVOLUTION = re.compile(
    r'(.*\.)?(first_conv\.\d|second_conv\.\d|label_conv\.0|mlp_convs\.\d|convs\d|increase_dim\.0)'
)
NORM = re.compile(r'(.*\.)?norms\.\d')
NAMES_OF_LEAVES = {*LEAVES.values(), COUNTER}
SEES_POINTS = re.compile(r'propagation(_0|s\.\d)\.mlp_convs\.0')


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one of their models is laid out.

    Attributes:
        rules: beside COMMON.
        moved: beginnings of names, theirs and the references', tried in their order.
        head: the references' name of the classification head.
        unread: the references' modules that theirs lack, with a module of the same shapes.
    """

    rules: tuple[Rule, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    head: str = 'cls_head_finetune'
    unread: tuple[tuple[str, str], ...] = ()


POINT_MAE = Layout(rules=(('norm_f', 'norm'),))
POINT_BERT = Layout(moved=(('encoder.blocks.', 'blocks.blocks.'), ('encoder.', '')))
POINT_BERT_ALONE = Layout(moved=(('blocks.', 'blocks.blocks.'),))
POINT_M2AE = Layout()
POINTGPT = Layout(
    rules=(
        ('cls_norm', 'blocks.cls_norm'),
        ('generator_blocks.increase_dim.lins.0', 'generator_blocks.increase_dim.0'),
    ),
    head='blocks.cls_head_finetune',
    unread=(('blocks.increase_dim.0', 'generator_blocks.increase_dim.0'),),
)
# Backbones that they have, as classifiers and as part segmenters.
CLASSIFIERS = {
    'point_mae': POINT_MAE,
    'point_bert': POINT_BERT,
    'point_m2ae': POINT_M2AE,
    'pointgpt': POINTGPT,
}
SEGMENTERS = {'point_mae': POINT_MAE, 'point_m2ae': POINT_M2AE}
# What tells their files from all others, and one layout from the next: a key of each.
MARKS = {
    'h_encoder.token_embed.0.local_mlp.lins.0.weight': POINT_M2AE,
    'encoder.encoder.local_mlp.lins.0.weight': POINT_BERT,
    'MAE_encoder.encoder.local_mlp.lins.0.weight': POINT_MAE,
    'encoder.local_mlp.lins.0.weight': POINT_MAE,
}


def as_reference(state: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], str]:
    """A state dict under the references' names, and 'torch-pointcloud' where it wrote it, else ''.

    What is not of that project comes back as it is. A wrapper's name in front of all others goes.
    """
    own = _unwrapped(without_module(state))
    layout = _layout(own)
    if layout is None:
        return state, ''
    rules = (*COMMON, *layout.rules, *_head_rules(own, layout))
    found = {}
    for key, value in own.items():
        module, leaf = _split(key)
        module = _moved(_matched(module, rules), layout.moved)
        found[_join(module, leaf)] = _as_convolution(module, leaf, value)
    for unread, like in layout.unread:
        for leaf in ('weight', 'bias'):
            if (value := found.get(f'{like}.{leaf}')) is not None:
                found[f'{unread}.{leaf}'] = np.zeros_like(value)
    return found, PROJECT


def from_reference(
    state: Mapping[str, np.ndarray], backbone: str, parts: bool
) -> dict[str, np.ndarray]:
    """A model's state dict, under the references' names, as torch-pointcloud's model has it.

    Args:
        state: see `Model.export`; of a model without a tuner.
        backbone: its name.
        parts: whether it is a part segmenter.

    Raises:
        UserError: they have no such model.
    """
    layouts = SEGMENTERS if parts else CLASSIFIERS
    if backbone not in layouts:
        raise UserError(
            f'{PROJECT} has no {"part segmenter" if parts else "classifier"} of {backbone}; it has '
            f'those of {", ".join(layouts)}'
        )
    layout = layouts[backbone]
    head = PARTS if parts else _classifier_rules(state, layout)
    back = [(other, own) for own, other in (*COMMON, *layout.rules, *head)]
    moved = [(other, own) for own, other in layout.moved]
    found = {}
    for key, value in state.items():
        module, leaf = _split(key)
        if module in dict(layout.unread):
            continue
        own = _matched(module, back)
        if not own.startswith('head.'):
            own = _moved(own, moved)
        # torch_geometric keeps a batch norm in a module of its own.
        norm = f'{own}.module' if NORM.fullmatch(own) else own
        found[_join(norm, leaf)] = _as_linear(module, leaf, value)
    return found


def _layout(state: Mapping[str, np.ndarray]) -> Layout | None:
    """How a state dict of theirs is laid out; None of any other."""
    layout = next((MARKS[key] for key in MARKS if key in state), None)
    if layout is POINT_MAE and 'blocks.sos' in state:
        return POINTGPT
    # Its pre-training model, and its encoder by itself, have no name in front.
    if layout is POINT_MAE and 'reduce_dim.weight' in state:
        return POINT_BERT_ALONE
    return layout


def _head_rules(state: Mapping[str, np.ndarray], layout: Layout) -> Sequence[Rule]:
    """Of their head, by what it is a head of."""
    if any(f'{name}.mlp.lins.0.weight' in state for name in ('propagation_0', 'propagations.0')):
        return PARTS
    return _classifier_rules(state, layout)


def _classifier_rules(state: Mapping[str, np.ndarray], layout: Layout) -> Sequence[Rule]:
    """Of the classification head: linear, batch norm if any, ReLU and dropout, numbered through."""
    names = {f'{layout.head}.1.running_mean', 'head.norms.0.running_mean'}
    step = 4 if names & state.keys() else 3
    return (
        *((f'head.lins.{i}', f'{layout.head}.{step * i}') for i in range(4)),
        *((f'head.norms.{i}', f'{layout.head}.{step * i + 1}') for i in range(3)),
    )


def _unwrapped(state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """`state` without the first part of its names if all share it, as Lightning's 'model.' is."""
    first = next(iter(state), '').partition('.')[0] + '.'
    if all(key.startswith(first) for key in state):
        return {key.removeprefix(first): value for key, value in state.items()}
    return state


def _matched(module: str, rules: Sequence[Rule]) -> str:
    """The other name of a module by the first rule that it fits; itself where none does."""
    for own, other in rules:
        if match := _pattern(own).fullmatch(module):
            for name, value in match.groupdict().items():
                other = other.replace('*' if name == 'front' else f'{{{name}}}', value)
            return other
    return module


@functools.cache
def _pattern(template: str) -> re.Pattern:
    """What fits a side of a rule, with the groups 'front' and those in braces."""
    escaped = re.escape(template).replace(r'\*', r'(?P<front>(?:[^.]+\.)*)')
    return re.compile(re.sub(r'\\\{(\w)\\\}', r'(?P<\1>\\d+)', escaped))


def _moved(module: str, beginnings: Sequence[tuple[str, str]]) -> str:
    """`module` with the first of the beginnings that it has replaced."""
    for old, new in beginnings:
        if module.startswith(old) or module == old.removesuffix('.'):
            return new + module.removeprefix(old)
    return module


def _split(key: str) -> tuple[str, str]:
    """A key's module and leaf: ('norm', 'weight'); ('cls_token', '') of a parameter by itself."""
    module, _, leaf = key.rpartition('.')
    return (module, leaf) if leaf in NAMES_OF_LEAVES else (key, '')


def _join(module: str, leaf: str) -> str:
    return f'{module}.{leaf}' if leaf else module


def _as_convolution(module: str, leaf: str, value: np.ndarray) -> np.ndarray:
    """A kernel of theirs as the reference's module has it."""
    if leaf != 'weight' or not CONVOLUTION.fullmatch(module) or value.ndim != 2:
        return value
    if SEES_POINTS.fullmatch(module):
        value = np.roll(value, COORDINATES, axis=1)
    return value[..., None]


def _as_linear(module: str, leaf: str, value: np.ndarray) -> np.ndarray:
    """The inverse: a reference's kernel as theirs."""
    if leaf != 'weight' or not CONVOLUTION.fullmatch(module):
        return value
    value = value.reshape(value.shape[:2])
    return np.roll(value, -COORDINATES, axis=1) if SEES_POINTS.fullmatch(module) else value
