"""Containers as assemblies of solids: bag, bin, box, cabinet and shelf.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap between classes on purpose.
"""

import numpy as np

from point_ft_jax.data.shapes.solids import Solid, bowl, cylinder, rod, superquadric, torus, turn
from point_ft_jax.data.shapes.solids import box as cuboid

SIDES = (-1, 1)
# A ring's axis to x, its x to z and its z to y.
SIDEWAYS = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def bag(rng: np.random.Generator) -> list[Solid]:
    """A handbag, shopping bag or backpack: a soft body with straps, sometimes a pocket."""
    width, height, depth = rng.uniform((0.3, 0.28, 0.12), (0.6, 0.6, 0.3))
    middle = (0, height / 2, 0)
    if rng.random() < 0.35:
        wall = rng.uniform(0.06, 0.12)
        taper = rng.uniform(-0.2, 0.15)
        solids = [bowl('body', middle, (width, height, depth), (0.15, 0.35), wall, taper)]
    else:
        soft = rng.uniform((0.3, 0.3), (0.65, 0.75))
        taper = rng.uniform(-0.35, 0.1)
        size = (width, height, depth)
        solids = [superquadric('body', middle, size, tuple(soft.round(2)), taper=taper)]
    upright = turn(0, np.pi / 2)
    kind = rng.random()
    if kind < 0.6:
        gap = depth * rng.choice([0.0, 0.3])
        rise = rng.uniform(0.3, 0.9) * height
        for z in {-gap, gap}:
            size = (width * rng.uniform(0.5, 0.75), 0.03, 2 * rise)
            solids.append(torus('handle', (0, height * 0.9, z), size, 0.09, upright))
    elif kind < 0.9:
        for side in SIDES:
            size = (depth * 1.1, 0.05, height * 0.85)
            center = (side * width * 0.25, height * 0.5, -depth * 0.45)
            solids.append(torus('handle', center, size, 0.12, SIDEWAYS))
        solids.append(torus('handle', (0, height, 0), (0.12, 0.03, 0.14), 0.2, upright))
    if rng.random() < 0.45:
        size = (width * 0.65, height * 0.45, depth * 0.5)
        solids.append(superquadric('pocket', (0, height * 0.33, depth * 0.42), size, (0.3, 0.3)))
    return solids


def bin(rng: np.random.Generator) -> list[Solid]:
    """A waste bin, round or square, open or with a lid, sometimes on wheels."""
    width, height, taper = rng.uniform((0.25, 0.35, 0.0), (0.5, 0.8, 0.2))
    depth = width * rng.uniform(0.75, 1.1)
    curve = rng.choice([0.0, 0.25, 1.0, 1.0])
    lift = rng.choice([0.0, 0.05])
    top = lift + height
    wide = (width * (1 + taper), depth * (1 + taper))
    size = (width, height, depth)
    solids = [bowl('body', (0, lift + height / 2, 0), size, (0.0, curve), 0.08, taper)]
    kind = rng.random()
    if kind < 0.3:
        dome = (wide[0] * 1.05, rng.uniform(0.15, 0.4) * height, wide[1] * 1.05)
        solids.append(superquadric('lid', (0, top, 0), dome, (0.8, max(curve, 0.2))))
    elif kind < 0.55:
        tilt = turn(0, rng.choice([0.0, -rng.uniform(0.1, 1.3)]))
        hinge = np.array([0, top + 0.02, -wide[1] / 2])
        center = hinge + tilt @ (0, 0, wide[1] / 2)
        plate = cylinder if curve == 1 else cuboid
        solids.append(plate('lid', center, (wide[0] * 1.04, 0.05, wide[1] * 1.04), tilt))
    elif curve:
        ring = (wide[0] * 1.1, 0.04, wide[1] * 1.1)
        solids.append(torus('lid', (0, top, 0), ring, 0.07))
    if lift:
        foot = (width * 0.85, lift + 0.01, depth * 0.85)
        solids.append(cylinder('base', (0, lift / 2, 0), foot))
    if rng.random() < 0.3:
        for side in SIDES:
            axle = (side * width * 0.48, 0.07, -depth * 0.45)
            solids.append(cylinder('base', axle, (0.14, 0.05, 0.14), turn(2, np.pi / 2)))
    return solids


def box(rng: np.random.Generator) -> list[Solid]:
    """A cardboard box or crate: closed, open with flaps, or with a loose lid."""
    width, height, depth = rng.uniform((0.3, 0.15, 0.25), (0.7, 0.6, 0.6))
    middle = (0, height / 2, 0)
    size = (width, height, depth)
    kind = rng.random()
    if kind < 0.3:
        cap = rng.uniform(0.12, 0.35) * height
        lid = cuboid('lid', (0, height - cap / 2, 0), (width * 1.06, cap, depth * 1.06))
        solids = [cuboid('body', middle, size), lid]
    elif kind < 0.8:
        solids = [bowl('body', middle, size, (0.0, 0.0), 0.06), *_flaps(rng, width, height, depth)]
    else:
        solids = [cuboid('body', middle, size)]
        flat = rng.choice([0.03, 0.08])
        solids.append(cuboid('lid', (0, height, 0), (width * 0.16, flat, depth * 1.02)))
    if rng.random() < 0.25:
        for side in SIDES:
            center = (side * width / 2, height * 0.7, 0)
            solids.append(cuboid('handle', center, (0.05, 0.05, depth * 0.35)))
    return solids


def cabinet(rng: np.random.Generator) -> list[Solid]:
    """A chest of drawers, a cupboard with doors or a bedside cabinet."""
    width, height, depth = rng.uniform((0.45, 0.5, 0.35), (1.3, 1.6, 0.6))
    lift = rng.choice([0.0, 0.06, 0.15])
    body = height - lift
    solids = [cuboid('body', (0, lift + body / 2, 0), (width, body, depth))]
    columns, rows = (int(rng.integers(1, 3)), int(rng.integers(1, 5)))
    tall = rows == 1
    knob_z = depth / 2 + 0.06
    for column in range(columns):
        for row in range(rows):
            cell = np.array([width / columns, body / rows])
            x = (column + 0.5) * cell[0] - width / 2
            y = lift + (row + 0.5) * cell[1]
            size = (cell[0] * 0.9, cell[1] * 0.88, 0.05)
            solids.append(cuboid('front', (x, y, depth / 2 + 0.02), size))
            inward = (1 if column == 0 else -1) * cell[0] * 0.33 if tall else 0.0
            bar = (0.04, 0.2, 0.06) if tall else (cell[0] * rng.uniform(0.15, 0.4), 0.04, 0.06)
            solids.append(cuboid('handle', (x + inward, y, knob_z), bar))
    if rng.random() < 0.5:
        size = (width * 1.07, 0.05, depth * 1.1)
        solids.append(cuboid('body', (0, height, 0), size))
    if lift:
        x, z = width / 2 - 0.04, depth / 2 - 0.04
        for foot in ((-x, -z), (x, -z), (-x, z), (x, z)):
            solids.append(rod('foot', (foot[0], 0, foot[1]), (foot[0], lift, foot[1]), 0.06))
    return solids


def shelf(rng: np.random.Generator) -> list[Solid]:
    """A bookcase or rack, with or without back, dividers, books and a cupboard at the bottom."""
    width, height, depth = rng.uniform((0.5, 0.8, 0.22), (1.3, 1.9, 0.45))
    thick = rng.uniform(0.03, 0.06)
    count = int(rng.integers(3, 6))
    levels = np.linspace(0.06, height - thick / 2, count)
    gap = levels[1] - levels[0]
    solids = [cuboid('board', (0, y, 0), (width, thick, depth)) for y in levels]
    if rng.random() < 0.7:
        solids += [
            cuboid('frame', (s * width / 2, height / 2, 0), (thick, height, depth)) for s in SIDES
        ]
    else:
        x, z = width / 2, depth / 2
        for post in ((-x, -z), (x, -z), (-x, z), (x, z)):
            solids.append(rod('frame', (post[0], 0, post[1]), (post[0], height, post[1]), 0.05))
    if rng.random() < 0.6:
        center = (0, height / 2, -depth / 2 + 0.01)
        solids.append(cuboid('frame', center, (width, height, 0.02)))
    if rng.random() < 0.3:
        solids.append(cuboid('frame', (0, height / 2, 0), (thick, height, depth * 0.95)))
    if rng.random() < 0.3:
        center = (0, levels[0] + gap / 2, depth / 2)
        solids.append(cuboid('frame', center, (width, gap, 0.03)))
    for y in levels[:-1][rng.random(count - 1) < 0.5]:
        long = width * rng.uniform(0.2, 0.7)
        tall = gap * rng.uniform(0.45, 0.85)
        x = rng.uniform(-0.5, 0.5) * (width - long)
        center = (x, y + (thick + tall) / 2, 0)
        solids.append(cuboid('content', center, (long, tall, depth * 0.7)))
    return solids


def _flaps(rng, width, height, depth) -> list[Solid]:
    solids = []
    for axis, side in ((0, -1), (0, 1), (2, -1), (2, 1)):
        if rng.random() < 0.7:
            extents = {0: width, 2: depth}
            reach = rng.uniform(0.3, 0.5) * extents[axis]
            tilt = rng.uniform(-0.9, 1.2)
            along = np.zeros(3)
            along[axis], along[1] = side * np.cos(tilt), np.sin(tilt)
            hinge = np.array([0, height, 0.0])
            hinge[axis] = side * extents[axis] / 2
            rotation = turn(2, side * tilt) if axis == 0 else turn(0, -side * tilt)
            size = (reach, 0.02, depth) if axis == 0 else (width, 0.02, reach)
            solids.append(cuboid('lid', hinge + along * reach / 2, size, rotation))
    return solids
