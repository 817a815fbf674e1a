"""Seats that are no chair, as assemblies of solids: bench and stool.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap with tables' and chairs' on purpose.
"""

from itertools import product

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    box,
    cylinder,
    rod,
    shifted,
    superquadric,
    torus,
    turn,
)

SIDES = (-1, 1)


def bench(rng: np.random.Generator) -> list[Solid]:
    """A garden or park bench: a long seat of slats or one board, with or without back and arms."""
    width, depth, height = rng.uniform((0.9, 0.32, 0.36), (1.8, 0.6, 0.52))
    thick = rng.uniform(0.03, 0.09)
    solids = _slats(rng, 'seat', (0, height, 0), (width, thick, depth), 2)
    if rng.random() < 0.6:
        rise, lean = rng.uniform((0.3, -0.3), (0.6, 0.0))
        tilt = turn(0, lean)
        foot = np.array([0, height, -depth / 2])
        middle = foot + tilt @ (0, rise * 0.6, 0)
        solids += _slats(rng, 'back', middle, (width, rise * 0.75, 0.04), 1, tilt)
        for side in SIDES:
            at = shifted(foot, side * width * 0.45, 0, 0)
            solids.append(rod('back', at, at + tilt @ (0, rise, 0), 0.06, square=True))
    if rng.random() < 0.35:
        for side in SIDES:
            x, rest = side * width * 0.48, height + 0.22
            solids.append(box('arm', (x, rest, 0), (0.07, 0.04, depth)))
            solids.append(rod('arm', (x, height, depth * 0.4), (x, rest, depth * 0.4), 0.05))
    kind = rng.random()
    if kind < 0.4:
        for side in SIDES:
            place = (side * width * rng.uniform(0.35, 0.45), height / 2, 0)
            solids.append(box('leg', place, (rng.uniform(0.05, 0.18), height, depth * 0.9)))
    elif kind < 0.85:
        for x, z in product(np.linspace(-0.46, 0.46, rng.integers(2, 4)) * width, SIDES):
            start = (x, 0, z * depth * 0.45)
            solids.append(rod('leg', start, (x, height, z * depth * 0.42), 0.06, square=True))
    else:
        solids.append(box('leg', (0, height / 2, 0), (width * 0.95, height, depth * 0.9)))
    return solids


def stool(rng: np.random.Generator) -> list[Solid]:
    """A kitchen or bar stool: three or four legs with rungs, or a column on a foot."""
    width, height = rng.uniform((0.28, 0.35), (0.45, 0.85))
    thick = rng.uniform(0.03, 0.12)
    around = rng.random() < 0.65
    top = (0, height, 0)
    if around:
        soft = (rng.choice([0.0, 0.4]), 1.0)
    else:
        soft = (rng.choice([0.0, 0.3]), rng.choice([0.0, 0.3]))
    solids = [superquadric('seat', top, (width, thick, width), soft)]
    if rng.random() < 0.3:
        foot = width * rng.uniform(0.8, 1.2)
        solids.append(rod('leg', (0, 0, 0), top, rng.uniform(0.04, 0.09)))
        solids.append(cylinder('leg', (0, 0.02, 0), (foot, 0.04, foot)))
        if rng.random() < 0.5:
            ring = (width * 0.8, 0.03, width * 0.8)
            solids.append(torus('rung', (0, height * 0.35, 0), ring, 0.08))
            solids.append(box('rung', (0, height * 0.35, 0), (width * 0.75, 0.03, 0.03)))
    else:
        solids += _legs(rng, width, height, 3 if around and rng.random() < 0.5 else 4)
    if rng.random() < 0.2:
        rise = rng.uniform(0.1, 0.2)
        place = (0, height + rise, -width * 0.45)
        solids.append(box('back', place, (width * 0.9, rise, 0.04)))
        post = (0, height, -width * 0.45)
        solids.append(rod('back', post, place, 0.05))
    return solids


def _legs(rng: np.random.Generator, width: float, height: float, count: int) -> list[Solid]:
    turned = np.pi / 4 if count == 4 else 0.0
    angles = 2 * np.pi * np.arange(count) / count + turned
    out = np.stack([np.sin(angles), np.zeros(count), np.cos(angles)], axis=1)
    inner, splay = width * 0.42 * (1.25 if count == 4 else 1), rng.uniform(1.0, 1.45)
    thick = rng.uniform(0.03, 0.06)
    up = np.array([0, height, 0])
    solids = [rod('leg', o * inner * splay, o * inner + up, thick) for o in out]
    if rng.random() < 0.7:
        share = rng.uniform(0.25, 0.5)
        ends = out * inner * (splay + (1 - splay) * share) + up * share
        for start, end in zip(ends, np.roll(ends, 1, axis=0), strict=True):
            solids.append(rod('rung', start, end, 0.03))
    return solids


def _slats(rng, part, center, size, axis, tilt=None) -> list[Solid]:
    """A board, or the slats that fill its place, side by side along `axis`."""
    rotation = np.eye(3) if tilt is None else tilt
    if rng.random() < 0.5:
        return [box(part, center, size, rotation)]
    count = int(rng.integers(3, 6))
    each = np.array(size, float)
    each[axis] *= 0.7 / count
    shift = np.zeros(3)
    shift[axis] = size[axis]
    places = (np.arange(count) + 0.5) / count - 0.5
    return [box(part, center + rotation @ (shift * p), each, rotation) for p in places]
