"""Instruments as assemblies of solids: guitar and piano.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across.
"""

from itertools import product

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    box,
    cylinder,
    plank,
    rod,
    shifted,
    superquadric,
    turn,
)

SIDES = (-1, 1)
# A plate's axis to z.
FACING = turn(0, np.pi / 2)
ACROSS = (1.0, 0.0, 0.0)


def guitar(rng: np.random.Generator) -> list[Solid]:
    """An acoustic or electric guitar, upright, its strings in front."""
    lower, waist, upper = rng.uniform((0.32, 0.6, 0.6), (0.42, 0.85, 0.85))
    upper, waist = lower * upper, lower * waist
    long, thick = rng.uniform((0.38, 0.08), (0.5, 0.12))
    electric = rng.random() < 0.45
    if electric:
        thick *= 0.45
    flat = rng.choice([0.1, 0.3])

    def plate(y: float, wide: float, tall: float, x: float = 0.0) -> Solid:
        return superquadric('body', (x, y, 0), (wide, thick, tall), (flat, 1.0), FACING)

    solids = [plate(long * 0.32, lower, long * 0.64)]
    style = rng.random()
    if electric and style < 0.3:
        for side in SIDES:
            tip = (side * lower * 0.5, long * rng.uniform(-0.1, 0.05), 0)
            root = (side * 0.03, long * 0.75, 0)
            solids.append(plank('body', root, tip, (lower * 0.4, thick), ACROSS))
    elif electric and style < 0.75:
        for side in SIDES:
            root = (side * upper * 0.25, long * 0.45, 0)
            tip = (side * upper * 0.45, long * rng.uniform(0.9, 1.1), 0)
            solids.append(
                plank('body', root, tip, (upper * 0.4, thick), ACROSS, exponents=(0.6, 0.3))
            )
    else:
        solids.append(plate(long * 0.78, upper, long * 0.5))
        solids.append(box('body', (0, long * 0.55, 0), (waist, long * 0.3, thick * 0.98)))
    front = thick / 2
    neck = rng.uniform(0.38, 0.55)
    head = long + neck
    start = (0, long * 0.6, front)
    solids.append(plank('neck', start, (0, head, front), (0.055, 0.04), ACROSS))
    top = (0, head + rng.uniform(0.1, 0.17), front - 0.03)
    solids.append(
        plank('head', (0, head, front), top, (0.08, 0.025), ACROSS, taper=rng.uniform(-0.2, 0.3))
    )
    pegs = (1,) if electric and rng.random() < 0.5 else SIDES
    for side, share in product(
        pegs, np.linspace(0.2, 0.85, 6 // len(pegs) if len(pegs) == 2 else 5)
    ):
        at = np.array([side * 0.035, head + share * (top[1] - head), front - 0.03 * share])
        solids.append(rod('head', at, shifted(at, side * 0.04, 0, 0), 0.014))
    bridge = (lower * rng.uniform(0.3, 0.5), 0.035, 0.025)
    solids.append(box('bridge', (0, long * 0.22, front), bridge))
    if electric:
        for y in np.linspace(0.34, 0.55, rng.integers(1, 4)):
            solids.append(box('bridge', (0, long * y, front), (0.09, 0.03, 0.02)))
    else:
        solids.append(cylinder('bridge', (0, long * 0.5, front), (0.11, 0.012, 0.11), FACING))
    return solids


def piano(rng: np.random.Generator) -> list[Solid]:
    """An upright piano, or a grand with its lid up or down; sometimes with its stool."""
    solids = _grand(rng) if rng.random() < 0.45 else _upright(rng)
    if rng.random() < 0.3:
        seat = (rng.uniform(0.4, 0.8), 0.08, 0.35)
        front = 0.95
        solids.append(box('leg', (0, 0.48, front), seat))
        for x, z in product(SIDES, SIDES):
            foot = (x * seat[0] * 0.42, 0, front + z * 0.14)
            solids.append(rod('leg', foot, (foot[0], 0.46, foot[2]), 0.05))
    return solids


def _upright(rng: np.random.Generator) -> list[Solid]:
    width, height, depth = rng.uniform((1.35, 1.0, 0.3), (1.55, 1.4, 0.45))
    level = rng.uniform(0.6, 0.72)
    reach = rng.uniform(0.22, 0.35)
    solids = [
        box('body', (0, height / 2, 0), (width, height, depth)),
        box('body', (0, height, 0), (width * 1.04, 0.05, depth * 1.1)),
        box('body', (0, level - 0.06, depth / 2 + reach / 2), (width, 0.1, reach)),
        *_keys(rng, width, level, depth / 2 + reach * 0.55, reach * 0.7),
    ]
    for side in SIDES:
        x = side * (width - 0.06) / 2
        cheek = (x, level, depth / 2 + reach / 2)
        solids.append(box('body', cheek, (0.07, 0.16, reach)))
        foot = (x, 0, depth / 2 + reach * 0.85)
        if rng.random() < 0.85:
            solids.append(rod('leg', foot, (x, level - 0.05, foot[2]), 0.08, square=True))
        solids.append(box('leg', (x, 0.05, depth / 2 + reach / 2), (0.08, 0.1, reach)))
    if rng.random() < 0.5:
        rest = (0, level + 0.3, depth / 2 + 0.03)
        solids.append(box('body', rest, (width * 0.5, 0.25, 0.02), turn(0, -0.2)))
    return solids


def _grand(rng: np.random.Generator) -> list[Solid]:
    width, long = 1.5, rng.uniform(1.1, 1.9)
    level, thick = 0.72, rng.uniform(0.22, 0.32)
    front = 0.45
    # The case narrows towards its tail, which is on the left.
    rear = front - long
    middle = (front + rear) / 2
    tail = width * rng.uniform(0.45, 0.65)
    left = (tail - width) / 2
    solids = [
        box('body', (0, level, front - long * 0.3), (width, thick, long * 0.5)),
        box('body', (left, level, middle), (tail, thick, long)),
        cylinder('body', (left, level, rear), (tail, thick, tail * 0.8)),
        cylinder('body', (left + tail * 0.5, level, middle), (tail, thick * 0.99, long * 0.6)),
        box('body', (0, level - thick * 0.25, front + 0.1), (width, thick * 0.5, 0.25)),
        *_keys(rng, width, level + 0.02, front + 0.12, 0.2),
    ]
    for x, z in ((-0.44 * width, front - 0.1), (0.44 * width, front - 0.1), (left, rear)):
        solids.append(rod('leg', (x, 0, z), (x, level, z), rng.uniform(0.07, 0.13), taper=0.25))
    kind = rng.random()
    if kind < 0.6:
        angle = rng.uniform(0.45, 0.9)
        tilt = turn(2, angle)
        hinge = np.array([-width / 2, level + thick / 2, middle - 0.05])
        center = hinge + tilt @ (width * 0.45, 0, 0)
        solids.append(box('lid', center, (width * 0.9, 0.03, long * 0.8), tilt))
        prop = hinge + tilt @ (width * 0.7, 0, 0) + (0, 0, long * 0.2)
        solids.append(rod('lid', (prop[0], level, prop[2]), prop, 0.03))
    else:
        solids.append(
            box('lid', (0, level + thick / 2, front - long * 0.3), (width, 0.03, long * 0.52))
        )
    if rng.random() < 0.6:
        rest = (0, level + thick / 2 + 0.12, front - 0.1)
        solids.append(box('lid', rest, (0.6, 0.25, 0.02), turn(0, -0.3)))
    return solids


def _keys(rng, width, level, z, deep) -> list[Solid]:
    """The white keys as one board and groups of black ones on it."""
    solids = [box('keys', (0, level, z), (width * 0.88, 0.04, deep))]
    count = int(rng.integers(7, 13))
    for x in (np.arange(count) + 0.5) / count - 0.5:
        at = (x * width * 0.86, level + 0.03, z - deep * 0.2)
        solids.append(box('keys', at, (width / count * 0.45, 0.035, deep * 0.55)))
    return solids
