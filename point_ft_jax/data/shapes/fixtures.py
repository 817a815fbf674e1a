"""What a room has besides furniture, as assemblies of solids: display, door, pillow, sink, toilet.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap between classes on purpose.
"""

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    bowl,
    box,
    cylinder,
    rod,
    superquadric,
    torus,
    turn,
)

SIDES = (-1, 1)


def display(rng: np.random.Generator) -> list[Solid]:
    """A computer monitor, a television or an old tube, on a stand or two feet."""
    width = rng.uniform(0.45, 1.1)
    height = width * rng.uniform(0.52, 0.8)
    thick, rise = rng.uniform((0.03, 0.04), (0.09, 0.22))
    tilt = turn(0, rng.uniform(-0.2, 0.05))
    middle = np.array([0, rise + height / 2, 0])
    solids = [box('screen', middle, (width, height, thick), tilt)]
    if rng.random() < 0.4:
        deep = rng.uniform(0.1, 0.4)
        center = middle + tilt @ (0, 0, -deep / 2)
        lean = tilt @ turn(0, np.pi / 2)
        solids.append(box('housing', center, (width * 0.75, deep, height * 0.7), lean, 0.25))
    if rng.random() < 0.25:
        for side in SIDES:
            x = side * width * 0.35
            solids.append(rod('stand', (x, 0.02, 0.12), (x, rise + 0.04, 0), 0.03))
            solids.append(rod('stand', (x, 0.02, -0.12), (x, rise + 0.04, 0), 0.03))
        return solids
    neck = rng.uniform(0.05, 0.16)
    solids.append(box('stand', (0, rise / 2 + 0.05, -thick), (neck, rise + 0.14, 0.05)))
    foot = (width * rng.uniform(0.3, 0.6), 0.04, rng.uniform(0.18, 0.3))
    solids.append((box if rng.random() < 0.5 else cylinder)('stand', (0, 0.02, 0), foot))
    return solids


def door(rng: np.random.Generator) -> list[Solid]:
    """A door in its frame, shut or ajar, plain or panelled, with a handle."""
    width, height, thick = rng.uniform((0.7, 1.8, 0.04), (1.0, 2.2, 0.08))
    hinge = np.array([-width / 2, 0, 0])
    swing = turn(1, rng.choice([0.0, -rng.uniform(0.1, 1.4)]))
    solids = [
        box('panel', hinge + swing @ (width / 2, height / 2, 0), (width, height, thick), swing)
    ]
    if rng.random() < 0.8:
        post = rng.uniform(0.06, 0.14)
        for side in SIDES:
            x = side * (width + post) / 2
            solids.append(box('frame', (x, height / 2, 0), (post, height, 0.14)))
        top = (width + 2 * post, post, 0.14)
        solids.append(box('frame', (0, height + post / 2, 0), top))
    rows = int(rng.choice([0, 0, 2, 3]))
    for row in range(rows):
        center = (width / 2, height * (row + 0.5) / rows, 0)
        size = (width * 0.65, height / rows * 0.7, thick + 0.06)
        solids.append(box('panel', hinge + swing @ center, size, swing))
    if rng.random() < 0.9:
        knob = hinge + swing @ (width * 0.9, height * 0.47, 0)
        out = swing @ (0, 0, 0.1)
        solids.append(rod('handle', knob - out, knob + out, 0.05))
        lever = swing @ (-0.14, 0, 0)
        for end in (knob - out, knob + out):
            solids.append(rod('handle', end, end + lever, 0.05))
    return solids


def pillow(rng: np.random.Generator) -> list[Solid]:
    """A pillow or cushion, flat or leaning, with a trim, a button or tassels."""
    width, depth, thick = rng.uniform((0.4, 0.3, 0.1), (0.75, 0.5, 0.24))
    lean = turn(0, rng.choice([0.0, rng.uniform(0.6, 1.4)])) @ turn(2, rng.normal(0, 0.15))
    middle = np.array([0, depth / 2, 0])
    soft = (rng.uniform(0.7, 1.1), rng.uniform(0.25, 0.5))
    if rng.random() < 0.15:
        soft, depth = (0.5, 1.0), width
    size = (width, thick, depth)
    solids = [superquadric('cushion', middle, size, soft, lean)]
    kind = rng.random()
    if kind < 0.45:
        seam = (width * 1.1, 0.025, depth * 1.1)
        solids.append(superquadric('trim', middle, seam, (0.2, soft[1]), lean))
    elif kind < 0.7:
        for x in SIDES:
            for z in SIDES:
                corner = middle + lean @ (x * width * 0.45, 0, z * depth * 0.45)
                solids.append(superquadric('trim', corner, (0.07, 0.07, 0.07)))
    elif kind < 0.85:
        for side in SIDES:
            center = middle + lean @ (0, side * thick / 2, 0)
            solids.append(superquadric('trim', center, (0.1, 0.05, 0.1), (1, 1), lean))
    if rng.random() < 0.3:
        lower = middle - lean @ (rng.uniform(-0.1, 0.1), thick * 0.8, 0)
        twist = lean @ turn(1, rng.uniform(-0.5, 0.5))
        solids.append(superquadric('cushion', lower, size, soft, twist))
    return solids


def sink(rng: np.random.Generator) -> list[Solid]:
    """A wash-basin on a pedestal, on the wall, or sunk into a counter; a tap behind it."""
    width, depth, deep = rng.uniform((0.4, 0.35, 0.14), (0.75, 0.55, 0.26))
    kind = rng.random()
    top = rng.uniform(0.7, 0.9) if kind < 0.75 else deep + 0.04
    curve = rng.choice([0.2, 0.5, 1.0])
    bend = rng.choice([0.3, 0.7])
    center = (0, top - deep / 2, 0)
    solids = [bowl('basin', center, (width, deep, depth), (bend, curve), 0.14)]
    slab = rng.random() < 0.6
    if kind < 0.4:
        full, back = width * rng.uniform(1.2, 2.0), depth * 1.35
        low = rng.choice([0.0, 0.1])
        body = top - 0.01 - low
        solids.append(box('cabinet', (0, low + body / 2, -0.04), (full, body, back)))
    elif kind < 0.75:
        foot = rng.uniform(0.4, 0.6) * depth
        column = (foot, top - deep * 0.6, foot)
        solids.append(
            cylinder('cabinet', (0, column[1] / 2, -0.04), column, taper=rng.uniform(-0.3, 0.2))
        )
    elif slab:
        full = width * rng.uniform(1.1, 1.6)
        solids.append(box('cabinet', (0, top - 0.04, -0.04), (full, 0.06, depth * 1.35)))
    back = -depth * 0.53
    tip = top + rng.uniform(0.1, 0.3)
    reach = back + rng.uniform(0.14, 0.24)
    solids.append(box('basin', (0, top - 0.02, back), (width * 0.5, 0.05, 0.1)))
    solids.append(rod('tap', (0, top, back), (0, tip, back), 0.045))
    solids.append(rod('tap', (0, tip, back), (0, tip + 0.01, reach), 0.04))
    if rng.random() < 0.6:
        for side in SIDES:
            knob = (side * width * 0.2, top + 0.03, back)
            solids.append(cylinder('tap', knob, (0.05, 0.08, 0.05)))
    return solids


def toilet(rng: np.random.Generator) -> list[Solid]:
    """A toilet: bowl on its foot, seat, often a tank and a lid, open or shut."""
    width, length, height = rng.uniform((0.34, 0.42, 0.36), (0.42, 0.56, 0.46))
    deep = height * rng.uniform(0.45, 0.7)
    solids = [
        bowl('bowl', (0, height - deep / 2, 0), (width, deep, length), (0.6, 0.9), 0.14),
        cylinder(
            'base',
            (0, height * 0.4, -length * 0.12),
            (width * 0.6, height * 0.8, length * 0.65),
            taper=rng.uniform(-0.25, 0.1),
        ),
        torus('seat', (0, height + 0.01, 0), (width * 1.05, 0.05, length * 1.02), 0.16),
    ]
    back = -length / 2
    if rng.random() < 0.75:
        tank_width, tank_depth, tank_height = rng.uniform((0.34, 0.14, 0.28), (0.5, 0.22, 0.42))
        base = height * rng.uniform(0.75, 1.0)
        curve = rng.choice([0.1, 0.4])
        rear = back - tank_depth / 2 + 0.02
        size = (tank_width, tank_height, tank_depth)
        solids.append(superquadric('tank', (0, base + tank_height / 2, rear), size, (0.1, curve)))
        cap = (tank_width * 1.06, 0.04, tank_depth * 1.1)
        solids.append(box('tank', (0, base + tank_height, rear), cap))
        neck = (width * 0.6, base, length * 0.4)
        solids.append(box('base', (0, base / 2, back * 0.8), neck))
    else:
        solids.append(box('base', (0, height / 2, back * 0.8), (width * 0.7, height, length * 0.4)))
    kind = rng.random()
    if kind < 0.4:
        solids.append(cylinder('seat', (0, height + 0.045, 0), (width * 1.03, 0.03, length)))
    elif kind < 0.8:
        tilt = turn(0, -np.pi / 2 - rng.uniform(0, 0.2))
        center = tilt @ (0, 0, length / 2) + (0, height + 0.03, back + 0.06)
        solids.append(cylinder('seat', center, (width, 0.03, length), tilt))
    return solids
