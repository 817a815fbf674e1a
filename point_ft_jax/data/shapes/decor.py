"""What decorates a room, as assemblies of solids: curtain, lamp and mantel.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across.
"""

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    box,
    cylinder,
    plank,
    rod,
    shifted,
    superquadric,
    torus,
    turn,
    turned,
)
from point_ft_jax.data.shapes.solids import bowl as shell

SIDES = (-1, 1)


def curtain(rng: np.random.Generator) -> list[Solid]:
    """A pair of curtains or one, in folds, hanging or gathered, from a rod or a valance."""
    width, height, fold = rng.uniform((0.9, 1.3, 0.05), (2.2, 2.4, 0.16))
    gap = width * rng.uniform(0.05, 0.35) if rng.random() < 0.75 else 0.0
    each = (width - gap) / 2 if gap else width
    solids = []
    gathered = gap > 0 and rng.random() < 0.35
    for side in SIDES if gap else (0,):
        middle = side * (gap + each) / 2
        count = max(3, round(each / (2 * fold)))
        for x in (np.arange(count) + 0.5) / count - 0.5:
            top = np.array([middle + x * each, height, 0])
            size = (each / count * 1.15, fold * rng.uniform(0.6, 1.2))
            if gathered:
                tie = np.array([middle + side * each * 0.3 + x * each * 0.35, height * 0.4, 0])
                solids.append(_fold(top, tie, size))
                solids.append(_fold(tie, tie * (1, 0, 1) + (x * each * 0.2, 0, 0), size))
            else:
                solids.append(_fold(top, top * (1, 0, 1), size))
        if gathered:
            tie = (middle + side * each * 0.3, height * 0.4, 0)
            solids.append(box('tie', tie, (each * 0.45, 0.08, fold * 1.5)))
    if rng.random() < 0.3:
        drop = rng.uniform(0.15, 0.4)
        valance = (width * 1.05, drop, fold * 1.8)
        solids.append(box('tie', (0, height - drop / 2, 0), valance))
    if rng.random() < 0.75:
        reach = width * rng.uniform(0.52, 0.6)
        y = height + 0.03
        solids.append(rod('rod', (-reach, y, 0), (reach, y, 0), 0.05))
        for side in SIDES:
            solids.append(superquadric('rod', (side * reach, y, 0), (0.1, 0.1, 0.1)))
    return solids


def _fold(start, end, size) -> Solid:
    return plank('cloth', start, end, size, (1, 0, 0), exponents=(0.0, 1.0))


def lamp(rng: np.random.Generator) -> list[Solid]:
    """A table, floor, desk or ceiling lamp."""
    kind = rng.random()
    if kind < 0.2:
        return _pendant(rng)
    if kind < 0.4:
        return _desk_lamp(rng)
    height = rng.uniform(0.3, 0.6) if kind < 0.75 else rng.uniform(1.2, 1.7)
    foot = rng.uniform(0.12, 0.3)
    solids = [cylinder('base', (0, 0.02, 0), (foot, rng.uniform(0.03, 0.06), foot), taper=-0.1)]
    if kind < 0.75 and rng.random() < 0.6:
        belly = foot * rng.uniform(0.3, 0.55)
        levels = height * np.array([0.03, 0.3, 0.6, 0.8])
        solids += turned('base', (belly * 0.7, belly, belly * 0.7, 0.02), levels)
    solids.append(rod('pole', (0, 0, 0), (0, height * 1.05, 0), 0.03))
    wide, tall = rng.uniform((0.25, 0.15), (0.5, 0.35))
    solids.append(_shade(rng, (0, height, 0), wide, tall))
    return solids


def _shade(rng, top, wide, tall) -> Solid:
    """A drum, a cone or a ball around a point, or a bowl open upwards."""
    kind = rng.random()
    if kind < 0.65:
        taper = rng.uniform(-0.6, 0.0)
        dome = shell('shade', top, (wide, tall, wide), (0.0, 1.0), 0.05, -taper)
        return dome._replace(rotation=np.diag([1.0, -1.0, -1.0]))
    if kind < 0.85:
        return superquadric('shade', top, (wide * 0.8, wide * 0.8, wide * 0.8))
    return shell('shade', top, (wide, tall * 0.6, wide), (1.0, 1.0), 0.06)


def _pendant(rng: np.random.Generator) -> list[Solid]:
    drop = rng.uniform(0.4, 1.0)
    top = np.array([0, drop + 0.3, 0])
    rose = cylinder('base', top, (0.14, 0.04, 0.14))
    if rng.random() < 0.5:
        wide, tall = rng.uniform((0.25, 0.15), (0.5, 0.35))
        return [rose, rod('pole', (0, 0.3, 0), top, 0.02), _shade(rng, (0, 0.3, 0), wide, tall)]
    # A chandelier: arms around a column, a light on each.
    solids = [rose, rod('pole', (0, 0.1, 0), top, 0.04)]
    count = int(rng.integers(3, 8))
    reach = rng.uniform(0.25, 0.45)
    for angle in 2 * np.pi * np.arange(count) / count:
        tip = np.array([np.sin(angle) * reach, rng.uniform(0.25, 0.35), np.cos(angle) * reach])
        solids.append(rod('pole', (0, 0.2, 0), tip, 0.025))
        solids.append(superquadric('shade', shifted(tip, 0, 0.05, 0), (0.09, 0.14, 0.09)))
    return solids


def _desk_lamp(rng: np.random.Generator) -> list[Solid]:
    foot = rng.uniform(0.12, 0.2)
    first, second = rng.uniform((-0.5, 0.6), (0.1, 1.6))
    lower, upper = rng.uniform(0.2, 0.35, 2)
    start = np.array([0, 0.03, 0])
    elbow = start + np.array([0, np.cos(first), np.sin(first)]) * lower
    head = elbow + np.array([0, np.cos(second), np.sin(second)]) * upper
    tilt = turn(0, rng.uniform(0.0, 0.8))
    wide = rng.uniform(0.12, 0.2)
    shade = shell(
        'shade', head, (wide, wide * 0.9, wide), (rng.choice([0.0, 0.7]), 1.0), 0.08, 0.25
    )
    return [
        cylinder('base', (0, 0.015, 0), (foot, 0.03, foot)),
        rod('pole', start, elbow, 0.02),
        rod('pole', elbow, head, 0.02),
        shade._replace(rotation=tilt @ np.diag([1.0, -1.0, -1.0])),
    ]


def mantel(rng: np.random.Generator) -> list[Solid]:
    """A chimney-piece: two legs, a lintel and a shelf around an opening, maybe with a hearth."""
    width, height, depth = rng.uniform((1.1, 0.9, 0.15), (1.9, 1.4, 0.4))
    leg = rng.uniform(0.14, 0.32)
    beam = rng.uniform(0.16, 0.36)
    solids = [box('shelf', (0, height, 0), (width * rng.uniform(1.04, 1.2), 0.07, depth * 1.35))]
    solids.append(box('lintel', (0, height - beam / 2, 0), (width, beam, depth * 0.9)))
    around = rng.random() < 0.3
    for side in SIDES:
        x = side * (width - leg) / 2
        tall = height - beam
        if around:
            solids.append(rod('leg', (x, 0, 0), (x, tall + 0.02, 0), leg * 0.8))
        else:
            solids.append(box('leg', (x, tall / 2, 0), (leg, tall, depth * 0.85)))
        if rng.random() < 0.6:
            solids.append(box('leg', (x, 0.06, 0), (leg * 1.2, 0.12, depth)))
        if rng.random() < 0.4:
            solids.append(box('leg', (x, tall, 0), (leg * 1.2, 0.09, depth)))
    if rng.random() < 0.5:
        solids.append(box('hearth', (0, 0.03, depth * 0.4), (width * 1.1, 0.06, depth * 2)))
    if rng.random() < 0.45:
        place = (0, (height - beam) / 2, -depth * 0.4)
        solids.append(box('hearth', place, (width - leg, height - beam, 0.04)))
    if rng.random() < 0.3:
        solids.append(
            box('lintel', (0, height - beam / 2, depth * 0.47), (width * 0.4, beam * 0.6, 0.05))
        )
    if rng.random() < 0.15:
        rise = rng.uniform(0.3, 0.7)
        solids.append(
            box('lintel', (0, height + rise / 2, -depth * 0.3), (width * 0.9, rise, 0.08))
        )
    if rng.random() < 0.15:
        ring = (0.3, 0.05, 0.3)
        face = turn(0, np.pi / 2)
        solids.append(torus('lintel', (0, height + 0.2, 0), ring, 0.2, face))
    return solids
