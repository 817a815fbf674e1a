"""What a detector's box holds: an object or most of it, floor, wall and neighbours."""

import numpy as np

from point_ft_jax.data.shapes.boxes import Box
from point_ft_jax.data.shapes.solids import Solid, box, cylinder, superquadric, turn

# Shares of the object's size, by which its box is wider and by which PB_T50 moves it.
MARGIN = 0.1
SHIFT = 0.5
KEPT = 0.65
# In units of the fitted object, whose box has half a diagonal of 1.
FLOOR_CHANCE = 0.9
WALL_CHANCE = 0.6
WALL_GAP = (0.02, 0.3)
NEIGHBOURS = (0, 2)
NEIGHBOUR_SIZE = (0.25, 1.0)
SLAB = 0.02


def displaced(view: Box, points: np.ndarray, rng: np.random.Generator) -> Box:
    """The box moved by up to half its size along each axis, as PB_T50 does.

    A move that would leave less than the share `KEPT` of `points` [P, 3] inside is halved until it
    doesn't, so that what is left still tells the class.
    """
    move = rng.uniform(-SHIFT, SHIFT, 3) * (view.high - view.low)
    while True:
        moved = Box(view.low + move, view.high + move)
        if moved.holds(points).mean() >= KEPT:
            return moved
        move = move / 2


def background(thing: Box, view: Box, rng: np.random.Generator) -> list[Solid]:
    """Floor, wall and neighbours of the object in `thing` that can show in `view`; maybe none."""
    floor, back = thing.low[1], thing.low[2] - rng.uniform(*WALL_GAP)
    middle, size = (view.low + view.high) / 2, view.high - view.low
    solids = []
    if rng.random() < FLOOR_CHANCE and view.low[1] < floor:
        center = (middle[0], floor - SLAB / 2, middle[2])
        solids.append(box('background', center, (size[0], SLAB, size[2])))
    if rng.random() < WALL_CHANCE and view.low[2] < back:
        low = max(floor, view.low[1])
        height = view.high[1] - low
        center = (middle[0], low + height / 2, back - SLAB / 2)
        solids.append(box('background', center, (size[0], height, SLAB)))
    count = rng.integers(*NEIGHBOURS, endpoint=True)
    return solids + [_neighbour(thing, rng) for _ in range(count)]


def _neighbour(thing: Box, rng: np.random.Generator) -> Solid:
    """A box, cylinder or ellipsoid on the floor, left, right or in front of the object's box."""
    size = rng.uniform(*NEIGHBOUR_SIZE, 3)
    middle, reach = (thing.low + thing.high) / 2, (thing.high - thing.low + size) / 2
    spot = middle + rng.uniform(-0.7, 0.7, 3) * reach
    axis, sign = ((0, -1), (0, 1), (2, 1))[rng.integers(3)]
    spot[axis] = middle[axis] + sign * reach[axis] * rng.uniform(0.9, 1.2)
    spot[1] = thing.low[1] + size[1] / 2
    make = (box, cylinder, superquadric)[rng.integers(3)]
    return make('background', spot, size, rotation=turn(1, rng.uniform(-0.5, 0.5)))
