"""Built things as assemblies of solids: cone, range hood, stairs and tent.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across.
"""

from itertools import product

import numpy as np

from point_ft_jax.data.shapes.solids import Solid, box, cylinder, plank, rod, shifted, torus, turned
from point_ft_jax.data.shapes.solids import bowl as shell

SIDES = (-1, 1)


def cone(rng: np.random.Generator) -> list[Solid]:
    """A cone: plain, cut off, a pyramid, or a traffic cone with foot and stripes."""
    width, height = rng.uniform((0.3, 0.4), (0.8, 1.1))
    kind = rng.random()
    tip = 0.01 if kind < 0.35 else width * rng.uniform(0.04, 0.2)
    loop = rng.choice([1.0, 1.0, 1.0, 0.0])
    steps = 1 if rng.random() < 0.7 else 3
    shares = np.linspace(0, 1, steps + 1)
    # With more than one frustum the sides are hollow or bulge.
    bulge = rng.uniform(0.6, 1.6) if steps > 1 else 1.0
    radii = tip + (width / 2 - tip) * (1 - shares) ** bulge
    solids = turned('cone', radii, shares * height, loop)
    if kind > 0.4:
        size = (width * rng.uniform(1.1, 1.5), 0.04, width * rng.uniform(1.1, 1.5))
        solids.append((box if rng.random() < 0.6 else cylinder)('base', (0, 0.02, 0), size))
        for share in np.linspace(0.3, 0.7, rng.integers(0, 3)):
            wide = 2 * np.interp(share, shares, radii) + 0.03
            solids.append(cylinder('base', (0, share * height, 0), (wide, 0.07, wide), taper=-0.05))
    elif rng.random() < 0.2:
        ball = width * rng.uniform(0.7, 1.0)
        rim = (ball, 0.06, ball)
        solids.append(torus('base', (0, 0.02, 0), rim, 0.1))
    return solids


def range_hood(rng: np.random.Generator) -> list[Solid]:
    """A kitchen hood: a flat or sloping canopy under a chimney."""
    width, depth, rise = rng.uniform((0.55, 0.4, 0.08), (1.1, 0.6, 0.35))
    chimney = rng.uniform(0.2, 0.36)
    tall = rng.uniform(0.25, 0.9)
    kind = rng.random()
    lip = rng.uniform(0.03, 0.09)
    solids = [box('lip', (0, lip / 2, 0), (width, lip, depth))]
    top = lip
    if kind < 0.55:
        taper = rng.uniform(-0.6, -0.3)
        size = (width / (1 - taper), rise, depth / (1 - taper))
        solids.append(box('canopy', (0, lip + rise / 2, 0), size, taper=taper))
        top += rise
    elif kind < 0.75:
        solids.append(box('canopy', (0, lip + rise / 2, 0), (width * 0.98, rise, depth * 0.98)))
        top += rise
    else:
        front = (0, lip, depth / 2)
        back = (0, lip + rise * 1.6, -depth * 0.3)
        solids.append(plank('canopy', front, back, (width, 0.05), (1, 0, 0)))
        solids.append(
            box('canopy', (0, lip + rise * 0.4, -depth * 0.3), (width, rise * 0.8, depth * 0.4))
        )
        top += rise * 0.6
    if rng.random() < 0.85:
        around = rng.random() < 0.3
        back = rng.choice([0.0, chimney / 2 - depth / 2])
        make = cylinder if around else box
        duct = (chimney * rng.uniform(0.9, 1.4), tall, chimney)
        solids.append(make('chimney', (0, top + tall / 2 - 0.03, back), duct))
    if rng.random() < 0.5:
        for x in np.linspace(-0.2, 0.2, rng.integers(2, 5)):
            solids.append(box('lip', (x * width, lip * 0.6, depth / 2), (0.05, 0.03, 0.04)))
    return solids


def stairs(rng: np.random.Generator) -> list[Solid]:
    """A flight of steps: solid, open or winding, with or without a handrail."""
    count = int(rng.integers(4, 11))
    width, rise, tread = rng.uniform((0.7, 0.15, 0.22), (1.4, 0.22, 0.34))
    if rng.random() < 0.25:
        return _winding(rng, count + 4, width * 0.7, rise)
    full = rng.random() < 0.5
    # The way up is towards the back.
    z = -tread * (np.arange(count) + 0.5)
    tops = rise * (np.arange(count) + 1)
    solids = []
    for at, top in zip(z, tops, strict=True):
        tall = top if full else 0.05
        solids.append(box('step', (0, top - tall / 2, at), (width, tall, tread * 1.02)))
    start, end = np.array([0, rise * 0.6, 0]), np.array([0, tops[-1] - rise * 0.2, -tread * count])
    if not full:
        for side in SIDES:
            x = (side * width * 0.48, 0, 0)
            solids.append(plank('side', start + x, end + x, (0.2, 0.05), (0, 1, 0)))
    if rng.random() < 0.3:
        landing = (0, tops[-1] + rise * 0.9, -tread * (count + 1))
        solids.append(box('step', landing, (width, 0.08 if not full else rise, tread * 3)))
    if rng.random() < 0.5:
        for side in SIDES if rng.random() < 0.6 else (1,):
            x = (side * width * 0.46, rng.uniform(0.7, 0.9), 0)
            solids.append(rod('rail', start + x, end + x, 0.06))
            for share in np.linspace(0, 1, int(rng.integers(2, 6))):
                foot = start * (1 - share) + end * share + (x[0], 0, 0)
                solids.append(rod('rail', foot, shifted(foot, 0, x[1], 0), 0.04))
    return solids


def _winding(rng, count, width, rise) -> list[Solid]:
    each = rng.uniform(0.3, 0.5) * rng.choice(SIDES)
    solids = [rod('side', (0, 0, 0), (0, rise * (count + 2), 0), rng.uniform(0.08, 0.2))]
    last = None
    for number in range(count):
        angle = number * each
        out = np.array([np.sin(angle), 0, np.cos(angle)])
        up = np.array([0, rise * (number + 1), 0])
        across = (out[2], 0, -out[0])
        solids.append(plank('step', up, up + out * width, (width * 0.28, 0.04), across, taper=0.5))
        post = up + out * width * 0.95
        solids.append(rod('rail', post, shifted(post, 0, 0.7, 0), 0.03))
        if last is not None:
            solids.append(rod('rail', last, shifted(post, 0, 0.7, 0), 0.05))
        last = shifted(post, 0, 0.7, 0)
    return solids


def tent(rng: np.random.Generator) -> list[Solid]:
    """A ridge tent, a dome, a tepee or a marquee on poles."""
    width, length, height = rng.uniform((1.2, 1.2, 0.9), (2.4, 2.8, 1.8))
    kind = rng.random()
    if kind < 0.4:
        return _ridge(rng, width, length, height)
    if kind < 0.65:
        solids = [_dome(rng, width, min(length, width * 1.4), height)]
        for angle in rng.uniform(0.5, 1.0) * np.array(SIDES):
            out = np.array([np.sin(angle) * width, 0, np.cos(angle) * length]) * 0.5
            top = (0, height * 1.02, 0)
            solids += [rod('pole', s * out, top, 0.03) for s in SIDES]
        return solids
    if kind < 0.8:
        taper = -rng.uniform(0.85, 0.95)
        loop = rng.choice([1.0, 0.0])
        solids = turned('canopy', (width / 2, width / 2 * (1 + taper)), (0, height * 1.2), loop)
        for angle in np.arange(3) * 2.1 + 0.3:
            tip = np.array([np.sin(angle), 0, np.cos(angle)]) * width * 0.1 + (0, height * 1.35, 0)
            solids.append(rod('pole', tip * (-0.3, 0.7, -0.3), tip, 0.04))
        door = (0, height * 0.25, width * 0.38)
        return [*solids, box('floor', door, (width * 0.25, height * 0.5, 0.12))]
    return _marquee(rng, width, length, height)


def _ridge(rng, width, length, height) -> list[Solid]:
    solids = []
    flare = rng.uniform(0.0, 0.15)
    for side in SIDES:
        foot = (side * width / 2, 0, 0)
        ridge = (-side * 0.02, height, 0)
        solids.append(plank('canopy', foot, ridge, (length, 0.04), (0, 0, 1), taper=-flare))
    ends = SIDES if rng.random() < 0.5 else (-1,)
    for end in ends:
        z = end * length * 0.47
        middle = (0, height / 2, z)
        size = (width * 0.5, height, 0.04)
        solids.append(box('canopy', middle, size, taper=-0.98))
    for end in SIDES:
        z = end * length / 2
        solids.append(rod('pole', (0, 0, z), (0, height * 1.05, z), 0.05))
    if rng.random() < 0.6:
        solids.append(box('floor', (0, 0.01, 0), (width, 0.03, length)))
    if rng.random() < 0.4:
        for x, z in product(SIDES, SIDES):
            peg = (x * width * 0.75, 0, z * length * 0.5)
            solids.append(rod('pole', peg, (x * width * 0.2, height * 0.6, z * length * 0.5), 0.02))
    return solids


def _dome(rng, width, length, height) -> Solid:
    """The upper half of an ellipsoid: a shell upside down."""
    bend = rng.choice([0.7, 1.0])
    dome = shell('canopy', (0, height / 2, 0), (width, height, length), (bend, 1.0), 0.04)
    return dome._replace(rotation=np.diag([1.0, -1.0, -1.0]))


def _marquee(rng, width, length, height) -> list[Solid]:
    wall, roof = height * rng.uniform(0.8, 1.1), height * rng.uniform(0.3, 0.6)
    taper = -rng.uniform(0.6, 0.95)
    size = (width / (1 - taper), roof, length / (1 - taper))
    solids = [box('canopy', (0, wall + roof / 2, 0), size, taper=taper)]
    for x, z in product(SIDES, SIDES):
        at = (x * width * 0.47, 0, z * length * 0.47)
        solids.append(rod('pole', at, (at[0], wall + 0.02, at[2]), 0.06))
    solids.append(box('canopy', (0, wall - 0.08, 0), (width * 1.01, 0.2, length * 1.01)))
    for side in SIDES:
        if rng.random() < 0.35:
            solids.append(
                box('canopy', (side * width * 0.47, wall / 2, 0), (0.03, wall, length * 0.94))
            )
    if rng.random() < 0.35:
        solids.append(box('floor', (0, 0.02, 0), (width, 0.04, length)))
    return solids
