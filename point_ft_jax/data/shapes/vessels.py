"""Vessels as assemblies of solids: bathtub, bottle, bowl, cup and vase.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap between classes on purpose.
"""

from itertools import product

import numpy as np

from point_ft_jax.data.shapes.plants import foliage
from point_ft_jax.data.shapes.solids import (
    Solid,
    box,
    cylinder,
    rod,
    superquadric,
    torus,
    turn,
    turned,
)
from point_ft_jax.data.shapes.solids import (
    bowl as shell,
)

SIDES = (-1, 1)
# A ring's axis to z.
FACING = turn(0, np.pi / 2)


def bathtub(rng: np.random.Generator) -> list[Solid]:
    """A bathtub: on the floor, on feet or walled in, rounded or square, often with a tap."""
    length, width, deep = rng.uniform((1.3, 0.65, 0.35), (1.9, 1.0, 0.65))
    curve = rng.choice([0.1, 0.3, 0.6, 1.0])
    kind = rng.random()
    lift = 0.12 if kind < 0.3 else 0.0
    middle = (0, lift + deep / 2, 0)
    taper = rng.uniform(0.0, 0.12)
    bend = rng.choice([0.2, 0.5])
    size = (length, deep, width)
    solids = [shell('tub', middle, size, (bend, curve), 0.12, taper)]
    top = lift + deep
    if kind < 0.3:
        for x, z in product(SIDES, SIDES):
            foot = (x * length * 0.3, 0, z * width * 0.3)
            solids.append(rod('foot', foot, (foot[0], lift + 0.12, foot[2]), 0.09))
    elif kind < 0.6:
        walls = (length * 1.12, deep * 0.97, width * 1.15)
        solids.append(box('foot', (0, deep * 0.97 / 2, 0), walls))
    if rng.random() < 0.5:
        rim = (length * (1 + taper) * 1.05, 0.06, width * (1 + taper) * 1.05)
        bar = 0.08 if curve == 1 else 0.06
        solids.append(torus('rim', (0, top, 0), rim, bar))
    if rng.random() < 0.6:
        end = rng.choice([0.0, length * 0.46])
        back = -width * 0.5 if end == 0 else 0.0
        tip = top + rng.uniform(0.1, 0.3)
        solids.append(rod('tap', (end, top, back), (end, tip, back), 0.05))
        reach = (end * 0.75, tip, back + (0.2 if end == 0 else 0.0))
        solids.append(rod('tap', (end, tip, back), reach, 0.05))
    return solids


def bottle(rng: np.random.Generator) -> list[Solid]:
    """A bottle: slim or squat, round or square, with its neck and cap, sometimes a handle."""
    height, girth, neck = rng.uniform((0.4, 0.07, 0.25), (1.0, 0.17, 0.6))
    loop = rng.choice([1.0, 1.0, 1.0, 0.2])
    shoulder = height * rng.uniform(0.5, 0.75)
    throat = girth * neck
    rise = min(height * rng.uniform(0.06, 0.25), height - shoulder)
    base = girth * rng.uniform(0.85, 1.0)
    kind = rng.random()
    if kind < 0.7:
        waist = girth * rng.uniform(0.8, 1.0)
        radii = (base, girth, waist, girth, throat)
        levels = (0, height * 0.05, shoulder * 0.5, shoulder, shoulder + rise)
        solids = turned('body', radii, levels, loop)
    else:
        belly = (2 * girth * 1.3, shoulder + rise, 2 * girth * rng.uniform(0.7, 1.3))
        center = (0, (shoulder + rise) / 2, 0)
        solids = [superquadric('body', center, belly, (rng.choice([0.5, 0.8]), 1.0))]
    low = shoulder + rise * 0.9
    tip = height * rng.uniform(1.0, 1.15)
    solids.append(rod('neck', (0, low, 0), (0, tip, 0), 2 * throat, taper=-rng.uniform(0, 0.2)))
    cap = rng.random()
    if cap < 0.6:
        size = (throat * 2.5, height * rng.uniform(0.04, 0.12), throat * 2.5)
        solids.append(cylinder('cap', (0, tip, 0), size))
    elif cap < 0.75:
        nozzle = (throat * 2.2, height * 0.06, girth * 1.6)
        solids.append(box('cap', (0, tip, girth * 0.4), nozzle))
    else:
        lip = (throat * 2.6, height * 0.03, throat * 2.6)
        solids.append(torus('cap', (0, tip, 0), lip, 0.2))
    if rng.random() < 0.15:
        ear = (girth * 1.6, 0.03, height * 0.4)
        solids.append(torus('neck', (girth * 0.9, shoulder * 0.85, 0), ear, 0.12, FACING))
    return solids


def bowl(rng: np.random.Generator) -> list[Solid]:
    """A bowl, deep or shallow, round or square, on a foot or not, with a rim or two ears."""
    width = rng.uniform(0.3, 0.5)
    deep = width * rng.uniform(0.28, 0.75)
    bend, curve = rng.choice([0.3, 0.6, 1.0]), rng.choice([1.0, 1.0, 1.0, 0.3])
    lift = rng.choice([0.0, 0.03, 0.08])
    center = (0, lift + deep / 2, 0)
    wall, taper = rng.choice([0.05, 0.1]), rng.uniform(0.0, 0.2)
    depth = width * (1 if rng.random() < 0.8 else rng.uniform(0.6, 0.9))
    solids = [shell('body', center, (width, deep, depth), (bend, curve), wall, taper)]
    if lift:
        foot = width * rng.uniform(0.35, 0.6)
        pedestal = (foot, lift + deep * 0.1, foot)
        solids.append(cylinder('foot', (0, pedestal[1] / 2, 0), pedestal, taper=-0.15))
    top, wide = lift + deep, 1 + taper
    if rng.random() < 0.35:
        size = (width * wide * 1.08, 0.025, depth * wide * 1.08)
        solids.append(torus('rim', (0, top, 0), size, 0.08))
    if rng.random() < 0.15:
        for side in SIDES:
            ear = (width * 0.25, 0.03, deep * 0.35)
            solids.append(
                torus('rim', (side * width * wide * 0.5, top * 0.85, 0), ear, 0.15, FACING)
            )
    return solids


def cup(rng: np.random.Generator) -> list[Solid]:
    """A mug, tea cup, beaker or goblet; most have a handle, some a saucer."""
    width = rng.uniform(0.08, 0.12)
    deep = width * rng.uniform(0.65, 1.5)
    kind = rng.random()
    lift = deep * rng.uniform(0.3, 0.8) if kind < 0.15 else 0.0
    bend = 1.0 if lift else rng.choice([0.0, 0.0, 0.4])
    taper = rng.uniform(0.0, 0.25)
    center = (0, lift + deep / 2, 0)
    solids = [shell('body', center, (width, deep, width), (bend, 1.0), 0.1, taper)]
    if lift:
        stem = rod('foot', (0, 0, 0), (0, lift + deep * 0.1, 0), width * 0.16)
        disc = cylinder('foot', (0, 0.004, 0), (width * 0.8, 0.008, width * 0.8))
        solids += [stem, disc]
    elif rng.random() < 0.25:
        reach = width * rng.uniform(1.5, 2.0)
        saucer = shell('foot', (0, 0.005, 0), (reach, width * 0.2, reach), (0.5, 1.0), 0.1, 0.1)
        solids.append(saucer)
    if rng.random() < (0.85 if not lift else 0.1):
        size = (width * rng.uniform(0.5, 0.9), width * 0.13, deep * rng.uniform(0.5, 0.8))
        place = (width * rng.uniform(0.5, 0.6), lift + deep * 0.52, 0)
        solids.append(torus('handle', place, size, 0.16, FACING))
    return solids


def vase(rng: np.random.Generator) -> list[Solid]:
    """A vase: a profile with belly and neck or straight up, open, sometimes with flowers."""
    height, belly = rng.uniform((0.3, 0.06), (0.6, 0.2))
    loop = rng.choice([1.0, 1.0, 1.0, 0.1])
    foot, throat, mouth = belly * rng.uniform((0.4, 0.3, 0.4), (0.9, 0.8, 1.2))
    kind = rng.random()
    if kind < 0.65:
        swell = height * rng.uniform(0.25, 0.5)
        narrow = height * rng.uniform(0.65, 0.8)
        middle = (belly * 0.3 + foot * 0.7, belly, belly * 0.9, throat)
        levels = (swell * 0.35, swell, (swell * 1.5 + narrow * 0.5) / 2, narrow)
        solids = turned('body', (foot, *middle), (0, *levels), loop)
        low = narrow
    else:
        solids = []
        low, throat = 0.0, belly
        mouth = belly * rng.uniform(0.9, 1.4)
    tall = height - low
    wide = throat + mouth
    size = (wide, tall * 1.02, wide)
    taper = (mouth - throat) / wide
    part = 'neck' if solids else 'body'
    center = (0, low + tall * 0.49, 0)
    solids.append(shell(part, center, size, (0.0, loop), 0.15, taper))
    if rng.random() < 0.4:
        base = (foot * 2.4, height * 0.06, foot * 2.4)
        solids.append(cylinder('foot', (0, base[1] / 2, 0), base))
    if rng.random() < 0.2:
        for side in SIDES:
            ear = (belly * 0.9, 0.03, height * 0.35)
            place = (side * max(throat, belly * 0.7), height * 0.65, 0)
            solids.append(torus('neck', place, ear, 0.12, FACING))
    if rng.random() < 0.3:
        solids += foliage(rng, 'flower', (0, height * 0.6, 0), height * 0.9, belly * 2)
    return solids
