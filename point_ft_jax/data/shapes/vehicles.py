"""Vehicles as assemblies of solids: airplane and car.

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
UP = (0.0, 1.0, 0.0)
AHEAD = (0.0, 0.0, 1.0)
# A cylinder's axis to z, and to x.
LENGTHWAYS = turn(0, np.pi / 2)
SIDEWAYS = turn(2, np.pi / 2)


def airplane(rng: np.random.Generator) -> list[Solid]:
    """An airliner, a propeller plane or a jet fighter, on its wheels or not."""
    girth = rng.uniform(0.07, 0.13)
    middle = np.array([0, 0.3, 0])
    pointed = rng.choice([0.4, 0.6, 0.8])
    fuselage = superquadric(
        'fuselage', middle, (girth, 1.0, girth * rng.uniform(0.9, 1.2)), (pointed, 1.0), LENGTHWAYS
    )
    kind = rng.random()
    sweep, span = rng.uniform((0.0, 0.35), (0.12, 0.55))
    if kind < 0.45:
        sweep, span = rng.uniform((0.15, 0.4), (0.35, 0.6))
    elif kind > 0.75:
        sweep, span = rng.uniform((0.25, 0.25), (0.5, 0.4))
    chord = rng.uniform(0.15, 0.25) * (1.7 if kind > 0.75 else 1)
    high = rng.choice([-0.3, 0.0, 0.45]) * girth
    rise = rng.uniform(-0.02, 0.07)
    root = shifted(middle, 0, high, rng.uniform(-0.05, 0.12))
    solids = [fuselage, *_wings('wing', root, (span, rise, -sweep), chord, -rng.uniform(0.2, 0.6))]
    if 0.45 <= kind < 0.75 and rng.random() < 0.35:
        upper = shifted(root, 0, girth * 1.5, 0)
        solids += _wings('wing', upper, (span, rise, -sweep), chord, 0.0)
        solids += [
            rod(
                'wing',
                shifted(root, s * span * 0.6, 0, 0),
                shifted(upper, s * span * 0.6, 0, 0),
                0.015,
            )
            for s in SIDES
        ]
    solids += _tail(rng, middle, girth, kind)
    solids += _engines(rng, root, span, sweep, girth, kind)
    if rng.random() < 0.25:
        for x, z in ((-0.1, -0.05), (0.1, -0.05), (0, 0.33)):
            foot = shifted(middle, x, -girth * 1.1, z)
            solids.append(rod('engine', foot, shifted(foot, 0, girth, 0), 0.015))
            solids.append(cylinder('engine', foot, (0.05, 0.025, 0.05), SIDEWAYS))
    return solids


def _wings(part, root, reach, chord, taper) -> list[Solid]:
    return [
        plank(
            part, root, root + np.multiply(reach, (side, 1, 1)), (chord, 0.018), AHEAD, taper=taper
        )
        for side in SIDES
    ]


def _tail(rng, middle, girth, kind) -> list[Solid]:
    rear = shifted(middle, 0, 0, -0.43)
    tall = rng.uniform(0.13, 0.22)
    fin_top = shifted(rear, 0, tall, -0.09)
    high = rng.random() < 0.25
    start = fin_top if high else shifted(rear, 0, girth * 0.2, 0)
    reach = (rng.uniform(0.12, 0.2), 0.01, -0.07)
    solids = _wings('tail', start, reach, 0.1, -0.3)
    if kind > 0.75 and rng.random() < 0.5:
        for side in SIDES:
            at = shifted(rear, side * girth * 0.4, 0, 0)
            tip = shifted(at, side * 0.06, tall, -0.06)
            solids.append(plank('tail', at, tip, (0.13, 0.015), AHEAD, taper=-0.3))
        return solids
    return [*solids, plank('tail', rear, fin_top, (0.14, 0.016), AHEAD, taper=-0.3)]


def _engines(rng, root, span, sweep, girth, kind) -> list[Solid]:
    size = girth * rng.uniform(0.4, 0.6)
    shape = (size, rng.uniform(0.13, 0.2), size)
    if kind < 0.45:
        if rng.random() < 0.2:
            places = [shifted(root, s * girth * 0.75, girth * 0.2, -0.33) for s in SIDES]
        else:
            shares = (0.33,) if rng.random() < 0.6 else (0.3, 0.6)
            places = [
                shifted(root, s * span * share, -size * 0.6, 0.08 - sweep * share)
                for s, share in product(SIDES, shares)
            ]
        return [cylinder('engine', place, shape, LENGTHWAYS) for place in places]
    if kind < 0.75:
        nose = root * (0, 0, 0) + (0, 0.3, 0.5)
        places = [nose]
        if rng.random() < 0.4:
            places = [shifted(root, s * span * 0.35, 0, 0.12) for s in SIDES]
        solids = [
            superquadric('engine', p, (size, 0.15, size), (0.6, 1.0), LENGTHWAYS) for p in places
        ]
        angle = rng.uniform(0, np.pi)
        blade = np.array([np.cos(angle), np.sin(angle), 0]) * 0.11
        return solids + [
            plank(
                'engine',
                shifted(p, 0, 0, 0.05) - blade,
                shifted(p, 0, 0, 0.05) + blade,
                (0.025, 0.01),
                AHEAD,
            )
            for p in places
        ]
    places = [root * (0, 0, 0) + (s * girth * 0.4, 0.3, -0.48) for s in SIDES]
    return [cylinder('engine', p, (girth * 0.7, 0.14, girth * 0.7), LENGTHWAYS) for p in places]


def car(rng: np.random.Generator) -> list[Solid]:
    """A saloon, hatchback, van, pick-up or racing car."""
    length, width, low = rng.uniform((3.4, 1.5, 0.15), (4.9, 1.9, 0.35))
    body = rng.uniform(0.45, 0.7)
    soft = (rng.choice([0.15, 0.3, 0.5]), rng.choice([0.15, 0.3, 0.5]))
    chassis = low + body / 2
    solids = [superquadric('body', (0, chassis, 0), (width, length, body), soft, LENGTHWAYS)]
    kind = rng.random()
    top = low + body
    if kind < 0.55:
        long, rise, place = rng.uniform((0.4, 0.4, -0.12), (0.6, 0.6, 0.02)) * (length, 1, length)
        solids.append(_cabin((0, top, place), (width * 0.9, rise, long), -0.25))
    elif kind < 0.75:
        rise = rng.uniform(0.5, 1.1)
        long = length * rng.uniform(0.7, 0.85)
        solids.append(
            _cabin((0, top, (long - length) / 2 * 0.8), (width * 0.97, rise, long), -0.08)
        )
    elif kind < 0.9:
        rise = rng.uniform(0.5, 0.75)
        solids.append(_cabin((0, top, length * 0.08), (width * 0.93, rise, length * 0.3), -0.15))
        for side in SIDES:
            wall = (side * width * 0.46, top + 0.12, -length * 0.3)
            solids.append(box('body', wall, (0.08, 0.3, length * 0.38)))
        solids.append(box('body', (0, top + 0.12, -length * 0.48), (width * 0.9, 0.3, 0.08)))
    else:
        solids.append(_cabin((0, top, -length * 0.05), (width * 0.5, 0.35, length * 0.3), -0.3))
    radius = rng.uniform(0.28, 0.42)
    for x, z in product(SIDES, (-0.32, 0.33)):
        hub = (x * width * 0.46, radius, z * length)
        solids.append(cylinder('wheel', hub, (radius * 2, 0.24, radius * 2), SIDEWAYS))
    solids += _trimmings(rng, width, length, low, top)
    return solids


def _cabin(foot, size, taper) -> Solid:
    """A trapezium of glass that reaches down into the body."""
    center = (foot[0], foot[1] + size[1] / 2 - 0.06, foot[2])
    return superquadric(
        'cabin', center, (size[0], size[1] + 0.12, size[2]), (0.15, 0.15), taper=taper
    )


def _trimmings(rng, width, length, low, top) -> list[Solid]:
    solids = []
    if rng.random() < 0.7:
        for end in SIDES:
            place = (0, low + 0.15, end * length * 0.5)
            solids.append(box('trim', place, (width * 0.9, 0.16, 0.14)))
    if rng.random() < 0.5:
        for side in SIDES:
            mirror = (side * width * 0.53, top + 0.05, length * 0.14)
            solids.append(box('trim', mirror, (0.2, 0.14, 0.1)))
    if rng.random() < 0.25:
        solids.append(box('trim', (0, top + 0.25, -length * 0.46), (width * 0.9, 0.05, 0.3)))
        for side in SIDES:
            foot = np.array([side * width * 0.3, top - 0.15, -length * 0.44])
            solids.append(rod('trim', foot, shifted(foot, 0, 0.4, 0), 0.07))
    return solids
