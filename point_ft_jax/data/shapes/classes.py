"""The fifteen classes in ScanObjectNN's order, with their parts and their builders."""

from collections.abc import Callable

import numpy as np

from point_ft_jax.data.shapes import containers, fixtures, furniture
from point_ft_jax.data.shapes.solids import Solid

BUILDERS: dict[str, Callable[[np.random.Generator], list[Solid]]] = {
    'bag': containers.bag,
    'bin': containers.bin,
    'box': containers.box,
    'cabinet': containers.cabinet,
    'chair': furniture.chair,
    'desk': furniture.desk,
    'display': fixtures.display,
    'door': fixtures.door,
    'shelf': containers.shelf,
    'table': furniture.table,
    'bed': furniture.bed,
    'pillow': fixtures.pillow,
    'sink': fixtures.sink,
    'sofa': furniture.sofa,
    'toilet': fixtures.toilet,
}
CLASSES = tuple(BUILDERS)

PARTS: dict[str, tuple[str, ...]] = {
    'bag': ('body', 'handle', 'pocket'),
    'bin': ('body', 'lid', 'base'),
    'box': ('body', 'lid', 'handle'),
    'cabinet': ('body', 'front', 'handle', 'foot'),
    'chair': ('seat', 'back', 'leg', 'arm'),
    'desk': ('top', 'leg', 'drawer', 'panel'),
    'display': ('screen', 'housing', 'stand'),
    'door': ('panel', 'frame', 'handle'),
    'shelf': ('board', 'frame', 'content'),
    'table': ('top', 'leg', 'apron'),
    'bed': ('mattress', 'frame', 'pillow', 'blanket'),
    'pillow': ('cushion', 'trim'),
    'sink': ('basin', 'tap', 'cabinet'),
    'sofa': ('base', 'back', 'arm', 'cushion'),
    'toilet': ('bowl', 'base', 'seat', 'tank'),
}
BACKGROUND = 0
PART_NAMES = ('background', *(f'{name} {part}' for name in CLASSES for part in PARTS[name]))


def part_ids(name: str) -> tuple[int, ...]:
    """The part ids of a class, in the order of `PARTS[name]`: indices into `PART_NAMES`, from 1 up.

    A background point has the id `BACKGROUND`, 0, in every class.
    """
    return tuple(PART_NAMES.index(f'{name} {part}') for part in PARTS[name])
