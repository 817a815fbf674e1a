"""Pieces to store and show things, as assemblies of solids: dresser, glass box and the like.

Night stand, TV stand and wardrobe are the others. Every function takes a generator and returns
solids in metres or so: y up, the floor at 0, the front towards +z, x across. Proportions and
options overlap between classes on purpose.
"""

from itertools import pairwise, product

import numpy as np

from point_ft_jax.data.shapes.solids import Solid, box, cylinder, rod
from point_ft_jax.data.shapes.solids import bowl as shell

SIDES = (-1, 1)


def dresser(rng: np.random.Generator) -> list[Solid]:
    """A chest of drawers, wide or tall, on feet or not, sometimes with a mirror."""
    width, height, depth = rng.uniform((0.6, 0.65, 0.4), (1.6, 1.3, 0.6))
    lift = rng.choice([0.0, 0.06, 0.18])
    columns = 1 if width < 0.85 else int(rng.integers(1, 4))
    rows = int(rng.integers(2, 6))
    solids = _case(rng, width, height, depth, lift)
    for column, row in product(range(columns), range(rows)):
        cell = (width / columns, (height - lift) / rows)
        x, y = (column + 0.5) * cell[0] - width / 2, lift + (row + 0.5) * cell[1]
        solids += _drawer('drawer', x, y, cell, depth, rng.uniform(0.2, 0.5))
    if rng.random() < 0.3:
        rise = rng.uniform(0.4, 0.8)
        frame = (width * rng.uniform(0.5, 0.9), rise, 0.05)
        place = (0, height + rise / 2, -depth * 0.42)
        if rng.random() < 0.5:
            solids.append(box('mirror', place, frame))
        else:
            solids.append(_disc('mirror', place, frame))
    return solids


def glass_box(rng: np.random.Generator) -> list[Solid]:
    """A show-case or aquarium: thin panes, in a frame or not, open on top or on a plinth."""
    width, height, depth = rng.uniform((0.3, 0.25, 0.25), (1.0, 1.0, 0.6))
    lift = rng.choice([0.0, 0.0, 0.1, 0.5]) * height
    middle = lift + height / 2
    x, z, thin = width / 2, depth / 2, 0.02
    solids = []
    if rng.random() < 0.3:
        size = (width, height, depth)
        solids.append(shell('pane', (0, middle, 0), size, (0.0, 0.0), 0.05))
    else:
        for side in SIDES:
            solids.append(box('pane', (side * x, middle, 0), (thin, height, depth)))
            solids.append(box('pane', (0, middle, side * z), (width, height, thin)))
        solids.append(box('pane', (0, lift, 0), (width, thin, depth)))
        if rng.random() < 0.5:
            solids.append(box('pane', (0, lift + height, 0), (width, thin, depth)))
    if rng.random() < 0.7:
        bar = rng.uniform(0.025, 0.06)
        solids += _edges(width, height, depth, lift, bar)
    for y in np.arange(1, rng.integers(1, 4)) / 3:
        solids.append(box('shelf', (0, lift + height * y, 0), (width, thin, depth)))
    if lift:
        solids.append(box('plinth', (0, lift / 2, 0), (width * 0.98, lift, depth * 0.98)))
    return solids


def night_stand(rng: np.random.Generator) -> list[Solid]:
    """A small stand by the bed: a drawer or more, an open space or a door, on legs or not."""
    width, height, depth = rng.uniform((0.38, 0.45, 0.34), (0.7, 0.8, 0.5))
    kind = rng.random()
    lift = height * (rng.uniform(0.3, 0.6) if kind < 0.3 else rng.choice([0.0, 0.1, 0.2]))
    solids = _case(rng, width, height, depth, lift, open_share=0.5 * (0.3 < kind < 0.65))
    rows = 1 if kind < 0.65 else int(rng.integers(2, 4))
    low = lift + (height - lift) * (0.5 if 0.3 < kind < 0.65 else 0)
    for row in range(rows):
        cell = (width, (height - low) / rows)
        y = low + (row + 0.5) * cell[1]
        solids += _drawer('drawer', 0, y, cell, depth, rng.uniform(0.08, 0.4))
    if rng.random() < 0.2:
        solids.append(rod('top', (0, height, 0), (0, height + 0.25, 0), 0.04))
        shade = (0.22, 0.18, 0.22)
        solids.append(cylinder('top', (0, height + 0.28, 0), shade, taper=-0.25))
    return solids


def tv_stand(rng: np.random.Generator) -> list[Solid]:
    """A low, wide stand: boards between sides, some bays closed, feet or castors."""
    width, height, depth = rng.uniform((0.8, 0.35, 0.35), (1.7, 0.75, 0.6))
    thick = rng.uniform(0.03, 0.07)
    lift = rng.choice([0.0, 0.06, 0.12])
    bays = int(rng.integers(1, 4))
    levels = [lift + thick / 2, height - thick / 2]
    if rng.random() < 0.6:
        levels.insert(1, (levels[0] + levels[1]) * rng.uniform(0.4, 0.6))
    solids = [box('board', (0, y, 0), (width, thick, depth)) for y in levels]
    solids[-1] = solids[-1]._replace(size=(width * 1.06, thick, depth * 1.06))
    body = height - lift
    posts = np.linspace(-1, 1, bays + 1) * (width - thick) / 2
    solids += [box('side', (x, lift + body / 2, 0), (thick, body, depth)) for x in posts]
    if rng.random() < 0.5:
        solids.append(box('side', (0, lift + body / 2, -depth / 2), (width, body, 0.02)))
    for left, right in pairwise(posts):
        if rng.random() < 0.45:
            place = ((left + right) / 2, lift + body / 2, depth / 2)
            solids.append(box('door', place, (right - left - thick, body - thick, 0.03)))
            knob = (right - 0.12 * (right - left), lift + body / 2, depth / 2 + 0.03)
            solids.append(box('door', knob, (0.03, 0.12, 0.04)))
    if lift:
        solids += _feet(width, depth, lift, 0.06)
    return solids


def wardrobe(rng: np.random.Generator) -> list[Solid]:
    """A wardrobe: tall, one to four doors, drawers below, a cornice; a door may be ajar."""
    width, height, depth = rng.uniform((0.7, 1.5, 0.45), (2.0, 2.2, 0.7))
    lift = rng.choice([0.0, 0.05, 0.12])
    solids = _case(rng, width, height, depth, lift)
    doors = max(1, round(width / rng.uniform(0.4, 0.7)))
    low = lift + (height * rng.uniform(0.15, 0.3) if rng.random() < 0.4 else 0.0)
    tall = height - low - 0.04
    each = width / doors
    for number in range(doors):
        x = (number + 0.5) * each - width / 2
        place = (x, low + tall / 2, depth / 2 + 0.01)
        solids.append(box('door', place, (each * 0.93, tall * 0.96, 0.05)))
        inward = 0.38 * each * (-1 if number % 2 else 1)
        knob = (x + inward, low + tall * 0.5, depth / 2 + 0.06)
        solids.append(box('handle', knob, (0.04, rng.uniform(0.15, 0.4), 0.06)))
    if low > lift:
        for number in range(max(1, doors // 2)):
            cell = (width / max(1, doors // 2), low - lift)
            x = (number + 0.5) * cell[0] - width / 2
            solids += _drawer('door', x, (low + lift) / 2, cell, depth, 0.25)
    if rng.random() < 0.4:
        cornice = (width * 1.08, 0.1, depth * 1.12)
        solids.append(box('body', (0, height, 0), cornice))
    return solids


def _case(rng, width, height, depth, lift, open_share=0.0) -> list[Solid]:
    """The body on its feet, with a top that may stand out; its lower share may be open."""
    body = height - lift
    full = body * (1 - open_share)
    solids = [box('body', (0, height - full / 2, 0), (width, full, depth))]
    if open_share:
        for side in SIDES:
            wall = (side * (width - 0.04) / 2, lift + body / 2, 0)
            solids.append(box('body', wall, (0.04, body, depth)))
        solids.append(box('body', (0, lift + 0.02, 0), (width, 0.04, depth)))
        if rng.random() < 0.5:
            solids.append(box('body', (0, lift + body / 2, -depth / 2), (width, body, 0.03)))
    if rng.random() < 0.5:
        top = (width * rng.uniform(1.03, 1.15), 0.04, depth * 1.08)
        solids.append(box('body', (0, height, 0), top))
    if lift:
        solids += _feet(width, depth, lift, rng.uniform(0.04, 0.07))
    return solids


def _feet(width, depth, lift, thick) -> list[Solid]:
    x, z = (width - thick) / 2, (depth - thick) / 2
    return [
        rod('foot', (i * x, 0, k * z), (i * x, lift + 0.01, k * z), thick, square=True)
        for i, k in product(SIDES, SIDES)
    ]


def _drawer(part, x, y, cell, depth, grip) -> list[Solid]:
    front = box(part, (x, y, depth / 2 + 0.015), (cell[0] * 0.9, cell[1] * 0.85, 0.05))
    return [front, box(part, (x, y, depth / 2 + 0.055), (cell[0] * grip, 0.035, 0.05))]


def _disc(part, place, frame) -> Solid:
    """A round plate of the size of a frame that faces +z."""
    upright = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return cylinder(part, place, (frame[0], frame[2], frame[1]), upright)


def _edges(width, height, depth, lift, bar) -> list[Solid]:
    """The twelve edges of a box."""
    x, z, top = width / 2, depth / 2, lift + height
    solids = []
    for i, k in product(SIDES, SIDES):
        solids.append(box('frame', (i * x, lift + height / 2, k * z), (bar, height, bar)))
        level = lift if k < 0 else top
        solids.append(box('frame', (0, level, i * z), (width, bar, bar)))
        solids.append(box('frame', (i * x, level, 0), (bar, bar, depth)))
    return solids
