"""The person, as an assembly of solids in a pose."""

import numpy as np

from point_ft_jax.data.shapes.solids import Solid, box, cylinder, rod, shifted, superquadric

SIDES = (-1, 1)


def person(rng: np.random.Generator) -> list[Solid]:
    """A person standing, walking or sitting, arms in any pose; in trousers or a skirt.

    y is up, the floor at 0 and the face towards +z; metres.
    """
    leg, torso, wide = rng.uniform((0.75, 0.5, 0.3), (0.95, 0.62, 0.46))
    sitting = rng.random() < 0.2
    hip = np.array([0, 0.48 if sitting else leg, 0])
    neck = shifted(hip, 0, torso, rng.normal(0, 0.04))
    deep = wide * rng.uniform(0.5, 0.75)
    solids = [
        superquadric('torso', (hip + neck) / 2, (wide, torso * 1.1, deep), (0.5, 0.7), taper=0.15),
        *_head(rng, neck),
    ]
    for side in SIDES:
        solids += _leg(rng, side, hip, wide, leg, sitting)
        solids += _arm(
            rng, side, shifted(neck, side * wide * 0.52, -0.07, 0), rng.uniform(0.5, 0.65)
        )
    if not sitting and rng.random() < 0.2:
        long = leg * rng.uniform(0.4, 0.9)
        size = (wide * 1.2, long, deep * 1.4)
        solids.append(cylinder('torso', hip - (0, long / 2 - 0.08, 0), size, taper=-0.25))
    return solids


def _head(rng: np.random.Generator, neck: np.ndarray) -> list[Solid]:
    size = rng.uniform((0.15, 0.21, 0.18), (0.19, 0.26, 0.22))
    center = shifted(neck, 0, 0.06 + size[1] / 2, 0.01)
    solids = [superquadric('head', center, tuple(size)), rod('head', neck, center, 0.1)]
    if rng.random() < 0.25:
        hat = shifted(center, 0, size[1] * 0.35, 0)
        solids.append(cylinder('head', hat, (size[0] * 1.7, 0.03, size[2] * 1.7)))
        solids.append(cylinder('head', shifted(hat, 0, 0.05, 0), (size[0] * 1.05, 0.12, size[2])))
    return solids


def _leg(rng, side, hip, wide, length, sitting) -> list[Solid]:
    start = shifted(hip, side * wide * 0.25, 0, 0)
    thick = wide * rng.uniform(0.32, 0.42)
    swing = np.pi / 2 - rng.uniform(0, 0.2) if sitting else rng.normal(0, 0.2)
    spread = side * rng.uniform(0, 0.15)
    knee = start + np.array([spread, -np.cos(swing), np.sin(swing)]) * length * 0.5
    bent = rng.uniform(-0.1, 0.2) if sitting else swing - abs(rng.normal(0, 0.2))
    ankle = knee + np.array([0, -np.cos(bent), np.sin(bent)]) * (length * 0.5 - 0.03)
    return [
        rod('leg', start, knee, thick, taper=-0.12),
        rod('leg', knee, ankle, thick * 0.75, taper=-0.15),
        box('leg', shifted(ankle, 0, -0.01, 0.06), (0.09, 0.07, 0.25)),
    ]


def _arm(rng, side, shoulder, length) -> list[Solid]:
    kind = rng.random()
    if kind < 0.55:
        lift, ahead = rng.uniform(0.05, 0.4), rng.normal(0, 0.25)
    elif kind < 0.8:
        lift, ahead = rng.uniform(1.0, 1.7), rng.normal(0, 0.2)
    else:
        lift, ahead = rng.uniform(0.1, 0.3), rng.uniform(0.5, 1.6)
    out = np.array([side * np.sin(lift), -np.cos(lift) * np.cos(ahead), np.sin(ahead)])
    elbow = shoulder + out * length * 0.5
    bend = np.array([-side * rng.uniform(0, 0.4), rng.uniform(-0.2, 0.8), rng.uniform(0, 0.6)])
    along = out + bend * rng.random()
    hand = elbow + along / np.linalg.norm(along) * length * 0.48
    return [
        rod('arm', shoulder, elbow, 0.09, taper=-0.1),
        rod('arm', elbow, hand, 0.075, taper=-0.15),
        superquadric('arm', hand, (0.09, 0.12, 0.08), (0.7, 0.7)),
    ]
