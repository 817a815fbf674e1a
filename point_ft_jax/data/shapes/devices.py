"""Devices as assemblies of solids: keyboard, laptop, radio and xbox.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap between classes on purpose.
"""

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
# A cylinder's axis to z.
FACING = turn(0, np.pi / 2)


def keyboard(rng: np.random.Generator) -> list[Solid]:
    """A computer keyboard: rows of keys on a slab, tilted or flat, with or without number pad."""
    width, depth = rng.uniform((0.36, 0.12), (0.52, 0.22))
    thick = rng.uniform(0.012, 0.03)
    tilt = turn(0, rng.uniform(0.0, 0.12))
    curve = rng.choice([0.0, 0.1, 0.3])
    middle = np.array([0, 0.03, 0])
    size = (width, depth, thick)
    solids = [superquadric('case', middle, size, (curve, 0.0), tilt @ FACING)]
    blocks = _key_blocks(rng, width * 0.94)
    solids += _keys(rng, middle, tilt, blocks, depth * 0.85, thick)
    if rng.random() < 0.3:
        rest = middle + tilt @ (0, -thick * 0.2, depth * 0.6)
        solids.append(box('rest', rest, (width * 0.95, thick * 0.6, depth * 0.35), tilt))
    if rng.random() < 0.4:
        for side in SIDES:
            foot = (side * width * 0.4, 0.01, -depth * 0.42)
            solids.append(box('rest', foot, (0.03, 0.04, 0.015)))
    return solids


def _key_blocks(rng, width) -> list[tuple[float, float, int]]:
    """(middle, width, keys in a row) of each field of keys, from left to right."""
    kind = rng.random()
    if kind < 0.3:
        return [(0.0, width, int(rng.integers(8, 13)))]
    if kind < 0.6:
        return [(-width * 0.13, width * 0.72, 8), (width * 0.38, width * 0.22, 3)]
    main, pad = width * 0.6, width * 0.18
    return [(-width * 0.2, main, 7), (width * 0.2, pad * 0.9, 2), (width * 0.405, pad, 3)]


def _keys(rng, middle, tilt, blocks, depth, thick) -> list[Solid]:
    rows = int(rng.integers(4, 6))
    each = depth / rows
    rise = rng.uniform(0.4, 0.9) * thick
    solids = []
    for row in range(rows):
        z = (row + 0.5) * each - depth / 2
        for center, width, count in blocks:
            if row == rows - 1 and count > 5:
                places, long = [0.0], width * rng.uniform(0.4, 0.8)
            else:
                places = (np.arange(count) + 0.5) / count * width - width / 2
                long = width / count * 0.75
            for x in places:
                at = middle + tilt @ (center + x, thick / 2 + rise / 2, z)
                solids.append(box('key', at, (long, rise, each * 0.72), tilt))
    return solids


def laptop(rng: np.random.Generator) -> list[Solid]:
    """A laptop, open by 80 to 150 degrees, thick or thin."""
    width = rng.uniform(0.28, 0.42)
    depth, thick = width * rng.uniform(0.6, 0.8), rng.uniform(0.012, 0.04)
    solids = [box('base', (0, thick / 2, 0), (width, thick, depth))]
    opened = np.deg2rad(rng.uniform(80, 150))
    tilt = turn(0, -(opened - np.pi / 2))
    tall = depth * rng.uniform(0.9, 1.05)
    hinge = np.array([0, thick, -depth / 2])
    lid = (width, tall, thick * rng.uniform(0.4, 0.8))
    solids.append(box('screen', hinge + tilt @ (0, tall / 2, 0), lid, tilt))
    if rng.random() < 0.5:
        solids.append(
            rod('base', hinge - (width * 0.4, 0, 0), shifted(hinge, width * 0.4, 0, 0), thick * 0.8)
        )
    rows, columns = int(rng.integers(3, 5)), int(rng.integers(4, 8))
    field = (width * 0.85, depth * 0.45)
    for row in range(rows):
        for column in range(columns):
            x = ((column + 0.5) / columns - 0.5) * field[0]
            z = ((row + 0.5) / rows - 0.5) * field[1] - depth * 0.18
            key = (field[0] / columns * 0.75, 0.01, field[1] / rows * 0.75)
            solids.append(box('key', (x, thick + 0.003, z), key))
    if rng.random() < 0.7:
        pad = (width * 0.25, 0.006, depth * 0.22)
        solids.append(box('key', (0, thick + 0.002, depth * 0.3), pad))
    return solids


def radio(rng: np.random.Generator) -> list[Solid]:
    """A portable or table radio, a boom box or a walkie-talkie."""
    width, height, depth = rng.uniform((0.25, 0.13, 0.07), (0.5, 0.28, 0.16))
    kind = rng.random()
    if kind < 0.2:
        width, height = height * 0.6, width
    soft = (rng.choice([0.0, 0.2, 0.4]), rng.choice([0.0, 0.2]))
    size = (width, height, depth)
    solids = [superquadric('body', (0, height / 2, 0), size, soft)]
    front = depth / 2
    speaker = 0.38 * min(width, height)
    sides = SIDES if kind > 0.6 else (rng.choice(SIDES),)
    for side in sides:
        at = (side * width * 0.28 * (kind >= 0.2), height * 0.4, front)
        solids.append(cylinder('speaker', at, (speaker * 1.6, 0.035, speaker * 1.6), FACING))
    if rng.random() < 0.6:
        dial = (0, height * 0.78, front)
        solids.append(box('panel', dial, (width * 0.6, height * 0.18, 0.03)))
    for x in np.linspace(-0.3, 0.3, rng.integers(1, 5)) * width:
        knob = 0.1 * min(width, height) + 0.015
        solids.append(cylinder('panel', (x, height * 0.14, front), (knob, 0.05, knob), FACING))
    if rng.random() < 0.75:
        start = np.array([rng.choice(SIDES) * width * 0.42, height * 0.95, -depth * 0.3])
        lean = rng.uniform(-0.9, 0.9)
        tip = start + np.array([np.sin(lean), np.cos(lean), 0]) * rng.uniform(0.15, 0.4)
        solids.append(rod('antenna', start, tip, 0.014))
    if rng.random() < 0.5 and kind >= 0.2:
        grip = (width * 0.85, 0.03, height * rng.uniform(0.4, 0.8))
        solids.append(torus('antenna', (0, height, 0), grip, 0.09, FACING))
    return solids


def xbox(rng: np.random.Generator) -> list[Solid]:
    """A games console, flat or on end, waisted or plain, sometimes with its controller."""
    width, depth, thick = rng.uniform((0.28, 0.22, 0.06), (0.36, 0.32, 0.11))
    standing = rng.random() < 0.35
    spin = turn(2, np.pi / 2) if standing else np.eye(3)
    middle = np.array([0, (width if standing else thick) / 2 + 0.01, 0])

    def place(x: float, y: float, z: float) -> np.ndarray:
        return middle + spin @ np.array([x, y, z])

    solids = [box('case', middle, (width, thick, depth), spin)]
    style = rng.random()
    if style < 0.35:
        for side in SIDES:
            half = (width * 0.45, thick, depth * 1.04)
            tilt = spin @ turn(2, side * rng.uniform(0.06, 0.14))
            solids.append(box('case', place(side * width * 0.27, 0, 0), half, tilt))
    elif style < 0.65:
        for angle in (0.6, -0.6):
            ridge = (width * 1.05, thick * 0.35, depth * 0.16)
            solids.append(box('case', place(0, thick / 2, 0), ridge, spin @ turn(1, angle)))
        disc = (depth * 0.35, thick * 0.5, depth * 0.35)
        solids.append(cylinder('case', place(0, thick / 2, 0), disc, spin))
    slot = (width * rng.uniform(0.35, 0.7), thick * 0.16, 0.03)
    solids.append(box('front', place(-width * 0.08, thick * 0.15, depth / 2), slot, spin))
    button = (thick * 0.45, 0.03, thick * 0.45)
    at = place(width * 0.36, -thick * 0.1, depth / 2)
    solids.append(cylinder('front', at, button, spin @ FACING))
    for x in np.linspace(-0.3, 0.1, rng.integers(1, 3)) * width:
        port = (width * 0.1, thick * 0.25, 0.025)
        solids.append(box('front', place(x, -thick * 0.25, depth / 2), port, spin))
    if standing or rng.random() < 0.3:
        foot = (thick * 1.5, 0.02, depth * 0.7) if standing else (width * 0.8, 0.02, depth * 0.8)
        solids.append(box('foot', (0, 0.01, 0), foot))
    if rng.random() < 0.35:
        solids += _controller(rng, width, depth)
    return solids


def _controller(rng, width, depth) -> list[Solid]:
    at = np.array([rng.uniform(-0.3, 0.3) * width, 0.025, depth * rng.uniform(0.8, 1.0)])
    solids = [superquadric('controller', at, (0.14, 0.04, 0.08), (0.6, 0.5))]
    for side in SIDES:
        grip = shifted(at, side * 0.055, -0.002, 0.04)
        tilt = turn(1, side * 0.4)
        solids.append(superquadric('controller', grip, (0.045, 0.04, 0.11), (0.8, 0.8), tilt))
        stick = shifted(at, side * 0.03, 0.02, 0)
        solids.append(cylinder('controller', stick, (0.02, 0.025, 0.02)))
    return solids
