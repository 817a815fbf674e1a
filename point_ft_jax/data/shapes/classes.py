"""The sets of classes: each class with its parts and its builder."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from point_ft_jax.data.shapes import (
    containers,
    decor,
    devices,
    figures,
    fixtures,
    furniture,
    instruments,
    plants,
    seats,
    storage,
    structures,
    vehicles,
    vessels,
)
from point_ft_jax.data.shapes.solids import Solid, stretched

BACKGROUND = 0
BACKGROUND_NAME = 'background'


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a class is made of.

    Attributes:
        build: makes one object of the class with the randomness of a generator.
        parts: the names of its parts, all that `build` uses.
    """

    build: Callable[[np.random.Generator], list[Solid]]
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ClassSet:
    """Classes in an order, with their parts numbered through.

    Attributes:
        kinds: the classes by name, in the order of the labels.
        stretch: by how much the proportions of an object vary besides: the standard deviation of
            the logarithm of a factor for each axis.
        aligned: whether complete objects of a class face the same way, or any way about y.
    """

    kinds: dict[str, Kind]
    stretch: float = 0.0
    aligned: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The class names by label."""
        return tuple(self.kinds)

    @functools.cached_property
    def part_names(self) -> tuple[str, ...]:
        """The parts of all classes by id, as 'chair leg', after the background."""
        parts = (f'{name} {part}' for name, kind in self.kinds.items() for part in kind.parts)
        return (BACKGROUND_NAME, *parts)

    def build(self, label: int, rng: np.random.Generator) -> list[Solid]:
        """An object of the class with a label."""
        solids = self.kinds[self.names[label]].build(rng)
        if not self.stretch:
            return solids
        factors = np.exp(rng.normal(0, self.stretch, 3).clip(-2 * self.stretch, 2 * self.stretch))
        return [stretched(solid, factors) for solid in solids]

    def part_ids(self, name: str) -> tuple[int, ...]:
        """The part ids of a class in the order of its parts: indices into `part_names`, from 1 up.

        A background point has the id `BACKGROUND`, 0, in every class.
        """
        return tuple(self.part_names.index(f'{name} {part}') for part in self.kinds[name].parts)

    def ids_by_part(self, name: str) -> dict[str, int]:
        """The id of every part that a solid of an object or around it can have, by its name."""
        ids = dict(zip(self.kinds[name].parts, self.part_ids(name), strict=True))
        return {**ids, BACKGROUND_NAME: BACKGROUND}


SHELF = Kind(containers.shelf, ('board', 'frame', 'content'))
CHAIR = Kind(furniture.chair, ('seat', 'back', 'leg', 'arm'))
DESK = Kind(furniture.desk, ('top', 'leg', 'drawer', 'panel'))
DISPLAY = Kind(fixtures.display, ('screen', 'housing', 'stand'))
DOOR = Kind(fixtures.door, ('panel', 'frame', 'handle'))
TABLE = Kind(furniture.table, ('top', 'leg', 'apron'))
BED = Kind(furniture.bed, ('mattress', 'frame', 'pillow', 'blanket'))
SINK = Kind(fixtures.sink, ('basin', 'tap', 'cabinet'))
SOFA = Kind(furniture.sofa, ('base', 'back', 'arm', 'cushion'))
TOILET = Kind(fixtures.toilet, ('bowl', 'base', 'seat', 'tank'))

# ScanObjectNN's classes in its order.
SCAN15 = ClassSet(
    {
        'bag': Kind(containers.bag, ('body', 'handle', 'pocket')),
        'bin': Kind(containers.bin, ('body', 'lid', 'base')),
        'box': Kind(containers.box, ('body', 'lid', 'handle')),
        'cabinet': Kind(containers.cabinet, ('body', 'front', 'handle', 'foot')),
        'chair': CHAIR,
        'desk': DESK,
        'display': DISPLAY,
        'door': DOOR,
        'shelf': SHELF,
        'table': TABLE,
        'bed': BED,
        'pillow': Kind(fixtures.pillow, ('cushion', 'trim')),
        'sink': SINK,
        'sofa': SOFA,
        'toilet': TOILET,
    }
)

# ModelNet40's classes in its order; its objects stand upright, and don't face one way either.
CAD40 = ClassSet(
    {
        'airplane': Kind(vehicles.airplane, ('fuselage', 'wing', 'tail', 'engine')),
        'bathtub': Kind(vessels.bathtub, ('tub', 'rim', 'foot', 'tap')),
        'bed': BED,
        'bench': Kind(seats.bench, ('seat', 'back', 'leg', 'arm')),
        'bookshelf': SHELF,
        'bottle': Kind(vessels.bottle, ('body', 'neck', 'cap')),
        'bowl': Kind(vessels.bowl, ('body', 'foot', 'rim')),
        'car': Kind(vehicles.car, ('body', 'cabin', 'wheel', 'trim')),
        'chair': CHAIR,
        'cone': Kind(structures.cone, ('cone', 'base')),
        'cup': Kind(vessels.cup, ('body', 'handle', 'foot')),
        'curtain': Kind(decor.curtain, ('cloth', 'rod', 'tie')),
        'desk': DESK,
        'door': DOOR,
        'dresser': Kind(storage.dresser, ('body', 'drawer', 'foot', 'mirror')),
        'flower_pot': Kind(plants.flower_pot, ('pot', 'rim', 'plant')),
        'glass_box': Kind(storage.glass_box, ('pane', 'frame', 'shelf', 'plinth')),
        'guitar': Kind(instruments.guitar, ('body', 'neck', 'head', 'bridge')),
        'keyboard': Kind(devices.keyboard, ('case', 'key', 'rest')),
        'lamp': Kind(decor.lamp, ('base', 'pole', 'shade')),
        'laptop': Kind(devices.laptop, ('base', 'screen', 'key')),
        'mantel': Kind(decor.mantel, ('shelf', 'lintel', 'leg', 'hearth')),
        'monitor': DISPLAY,
        'night_stand': Kind(storage.night_stand, ('body', 'drawer', 'foot', 'top')),
        'person': Kind(figures.person, ('head', 'torso', 'arm', 'leg')),
        'piano': Kind(instruments.piano, ('body', 'keys', 'leg', 'lid')),
        'plant': Kind(plants.plant, ('pot', 'stem', 'leaf', 'rim')),
        'radio': Kind(devices.radio, ('body', 'speaker', 'panel', 'antenna')),
        'range_hood': Kind(structures.range_hood, ('canopy', 'lip', 'chimney')),
        'sink': SINK,
        'sofa': SOFA,
        'stairs': Kind(structures.stairs, ('step', 'side', 'rail')),
        'stool': Kind(seats.stool, ('seat', 'leg', 'rung', 'back')),
        'table': TABLE,
        'tent': Kind(structures.tent, ('canopy', 'pole', 'floor')),
        'toilet': TOILET,
        'tv_stand': Kind(storage.tv_stand, ('board', 'side', 'door', 'foot')),
        'vase': Kind(vessels.vase, ('body', 'neck', 'foot', 'flower')),
        'wardrobe': Kind(storage.wardrobe, ('body', 'door', 'handle', 'foot')),
        'xbox': Kind(devices.xbox, ('case', 'front', 'foot', 'controller')),
    },
    stretch=0.35,
    aligned=False,
)

CLASS_SETS = {'scan15': SCAN15, 'cad40': CAD40}
