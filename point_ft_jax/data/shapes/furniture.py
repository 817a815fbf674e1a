"""Furniture as assemblies of solids: bed, chair, desk, sofa and table.

Every function takes a generator and returns solids in metres or so: y up, the floor at 0, the front
towards +z, x across. Proportions and options overlap between classes on purpose.
"""

from itertools import product

import numpy as np

from point_ft_jax.data.shapes.solids import Solid, box, cylinder, rod, superquadric, turn

SIDES = (-1, 1)


def chair(rng: np.random.Generator) -> list[Solid]:
    """A kitchen chair, stool-like seat or office chair, with or without arms."""
    width, depth, seat_height = rng.uniform((0.4, 0.4, 0.35), (0.65, 0.6, 0.55))
    thick, back_height, lean = rng.uniform((0.04, 0.35, -0.25), (0.14, 0.75, 0.0))
    seat_size = (width, thick, depth)
    seat_center = (0, seat_height, 0)
    if rng.random() < 0.5:
        solids = [superquadric('seat', seat_center, seat_size, (0.4, rng.uniform(0.3, 1)))]
    else:
        solids = [box('seat', seat_center, seat_size)]
    tilt = turn(0, lean)
    foot = np.array([0, seat_height, -depth / 2 + 0.03])
    if rng.random() < 0.35:
        feet = foot + np.linspace(-0.45, 0.45, rng.integers(3, 6))[:, None] * (width, 0, 0)
        posts = [rod('back', at, at + tilt @ (0, back_height, 0), 0.05) for at in feet]
        rail = foot + tilt @ (0, back_height, 0)
        solids += [*posts, box('back', rail, (width, 0.12, 0.05), tilt)]
    else:
        center = foot + tilt @ (0, back_height / 2, 0)
        soft = (rng.choice([0.0, 0.3]), rng.choice([0.0, 0.4]))
        size = (width * rng.uniform(0.8, 1), back_height, rng.uniform(0.04, 0.12))
        solids.append(superquadric('back', center, size, soft, tilt))
    if rng.random() < 0.3:
        solids += _star_base(rng, seat_height, width)
    else:
        solids += _four_legs(rng, 'leg', width, depth, seat_height - thick / 2)
    if rng.random() < 0.45:
        rest = seat_height + rng.uniform(0.16, 0.26)
        for side in SIDES:
            x = side * width / 2
            solids.append(box('arm', (x, rest, 0), (0.06, 0.04, depth * 0.9)))
            solids.append(rod('arm', (x, seat_height, depth / 4), (x, rest, depth / 4), 0.04))
    return solids


def sofa(rng: np.random.Generator) -> list[Solid]:
    """An armchair up to a three-seater, with cushions or without."""
    seats = int(rng.integers(1, 4))
    width = seats * rng.uniform(0.55, 0.75)
    depth, seat_height, rise = rng.uniform((0.75, 0.3, 0.25), (1.0, 0.48, 0.55))
    arm_width, arm_rise, back_depth = rng.uniform((0.1, 0.1, 0.15), (0.28, 0.3, 0.3))
    lift = rng.choice([0.0, 0.1])
    soft = (rng.choice([0.0, 0.25]), rng.choice([0.0, 0.25]))
    full = width + 2 * arm_width
    back_height = seat_height + rise - lift
    solids = [
        box('base', (0, (seat_height + lift) / 2, 0), (width, seat_height - lift, depth)),
        superquadric(
            'back',
            (0, lift + back_height / 2, (back_depth - depth) / 2),
            (full, back_height, back_depth),
            soft,
            turn(0, rng.uniform(-0.15, 0)),
        ),
    ]
    if rng.random() < 0.85:
        height = seat_height + arm_rise - lift
        for side in SIDES:
            center = (side * (full - arm_width) / 2, lift + height / 2, 0)
            solids.append(superquadric('arm', center, (arm_width, height, depth), soft))
    if rng.random() < 0.8:
        thick, each = rng.uniform(0.12, 0.22), width / seats
        for x in (np.arange(seats) - (seats - 1) / 2) * each:
            center = (x, seat_height + thick / 3, back_depth / 2)
            size = (each, thick, depth - back_depth)
            solids.append(superquadric('cushion', center, size, (0.35, 0.25)))
    if lift:
        solids += _four_legs(rng, 'base', full, depth, lift + 0.02)
    return solids


def bed(rng: np.random.Generator) -> list[Solid]:
    """A single or double bed: frame with headboard, mattress, pillows, often a blanket."""
    width, length = rng.uniform((0.9, 1.7), (1.8, 2.2))
    frame, thick = rng.uniform((0.15, 0.12), (0.4, 0.3))
    lift = rng.choice([0.0, 0.12])
    solids = [
        box('frame', (0, (frame + lift) / 2, 0), (width, frame - lift, length)),
        superquadric(
            'mattress', (0, frame + thick / 2, 0), (width * 0.97, thick, length * 0.98), (0.3, 0.15)
        ),
    ]
    if rng.random() < 0.85:
        rise = frame + thick + rng.uniform(0.15, 0.6)
        solids.append(box('frame', (0, rise / 2, -length / 2), (width * 1.05, rise, 0.09)))
    if rng.random() < 0.35:
        rise = frame + thick + rng.uniform(-0.05, 0.2)
        solids.append(box('frame', (0, rise / 2, length / 2), (width * 1.05, rise, 0.07)))
    if lift:
        solids += _four_legs(rng, 'frame', width, length, lift + 0.02)
    top = frame + thick
    if rng.random() < 0.85:
        count = 1 if width < 1.25 else 2
        for x in (np.arange(count) - (count - 1) / 2) * width / count:
            size = (width / count * 0.8, rng.uniform(0.1, 0.2), 0.42)
            tilt = turn(1, rng.normal(0, 0.1))
            center = (x, top + 0.04, -length / 2 + 0.35)
            solids.append(superquadric('pillow', center, size, (0.8, 0.4), tilt))
    if rng.random() < 0.5:
        reach = length * rng.uniform(0.4, 0.65)
        size = (width * 1.04, thick * 0.8, reach)
        center = (0, top - thick * 0.3, (length - reach) / 2)
        solids.append(superquadric('blanket', center, size, (0.3, 0.2)))
    return solids


def table(rng: np.random.Generator) -> list[Solid]:
    """A dining or coffee table, rectangular or round, on four legs, a column or two panels."""
    width, depth, height = rng.uniform((0.7, 0.6, 0.4), (1.7, 1.0, 0.85))
    thick = rng.uniform(0.03, 0.09)
    top = (0, height, 0)
    around = rng.random() < 0.4
    if around:
        width = depth if rng.random() < 0.6 else width
        solids = [cylinder('top', top, (width, thick, depth))]
    else:
        solids = [box('top', top, (width, thick, depth))]
    stand = rng.random()
    if stand < 0.3 or (around and stand < 0.6):
        foot = rng.uniform(0.35, 0.65) * depth
        column = rng.uniform(0.06, 0.14)
        solids.append(rod('leg', (0, 0, 0), top, column))
        solids.append(cylinder('leg', (0, 0.03, 0), (foot, 0.06, foot)))
    elif stand < 0.75 or around:
        inset = 0.66 if around else 0.95
        solids += _four_legs(rng, 'leg', width * inset, depth * inset, height)
        if rng.random() < 0.5:
            size = (width * inset * 0.95, 0.1, depth * inset * 0.95)
            solids.append(box('apron', (0, height - thick / 2 - 0.05, 0), size))
    else:
        for side in SIDES:
            center = (side * width * 0.42, height / 2, 0)
            solids.append(box('leg', center, (0.05, height, depth * 0.85)))
    if rng.random() < 0.2:
        size = (width * 0.7, 0.03, depth * 0.7)
        solids.append(box('apron', (0, height * rng.uniform(0.2, 0.45), 0), size))
    return solids


def desk(rng: np.random.Generator) -> list[Solid]:
    """A writing desk: drawers under one or both ends, a back panel, sometimes a hutch."""
    width, depth, height = rng.uniform((0.95, 0.5, 0.65), (1.7, 0.8, 0.8))
    thick = rng.uniform(0.03, 0.07)
    solids = [box('top', (0, height, 0), (width, thick, depth))]
    block = width * rng.uniform(0.22, 0.34)
    filled = [side for side in SIDES if rng.random() < 0.65]
    low = rng.choice([0.0, 0.0, height * 0.55])
    for side in SIDES:
        if side in filled:
            x = side * (width - block) / 2
            solids.append(
                box('drawer', (x, (height + low) / 2, 0), (block, height - low, depth * 0.95))
            )
            count = int(rng.integers(2, 5))
            for y in low + (np.arange(count) + 0.5) * (height - low - thick) / count:
                center = (x, y, depth * 0.475)
                solids.append(box('drawer', center, (block * 0.4, 0.03, 0.07)))
        if side not in filled or low:
            x = side * (width / 2 - 0.05)
            if rng.random() < 0.4:
                solids.append(box('leg', (x, height / 2, 0), (0.05, height, depth * 0.95)))
            else:
                for z in (-0.43 * depth, 0.43 * depth):
                    solids.append(rod('leg', (x, 0, z), (x, height, z), 0.06, square=True))
    if rng.random() < 0.65 or not filled:
        drop = height * rng.uniform(0.35, 0.9)
        center = (0, height - drop / 2, -depth * 0.42)
        solids.append(box('panel', center, (width * 0.95, drop, 0.03)))
    if rng.random() < 0.3:
        solids += _hutch(rng, width, height, depth)
    return solids


def _hutch(rng, width, height, depth) -> list[Solid]:
    rise, deep = rng.uniform((0.25, 0.18), (0.5, 0.3))
    middle, z = height + rise / 2, (deep - depth) / 2
    walls = [box('panel', (s * width * 0.48, middle, z), (0.03, rise, deep)) for s in SIDES]
    back = box('panel', (0, middle, -depth / 2 + 0.015), (width, rise, 0.03))
    return [*walls, back, box('panel', (0, height + rise, z), (width, 0.03, deep))]


def _four_legs(rng, part, width, depth, height) -> list[Solid]:
    thick = rng.uniform(0.035, 0.08)
    splay = rng.choice([0.0, 0.0, 0.06])
    square = bool(rng.random() < 0.5)
    reach = np.array([width - thick, 0, depth - thick]) / 2
    corners = [reach * (x, 0, z) for x, z in product(SIDES, SIDES)]
    return [
        rod(part, at * (1 + splay), at * (1 - splay) + (0, height, 0), thick, square=square)
        for at in corners
    ]


def _star_base(rng, height, width) -> list[Solid]:
    if rng.random() < 0.3:
        foot = cylinder('leg', (0, 0.03, 0), (width * 0.9, 0.05, width * 0.9), taper=-0.2)
        return [foot, rod('leg', (0, 0, 0), (0, height, 0), 0.07)]
    arms = int(rng.integers(4, 6))
    angles = 2 * np.pi * np.arange(arms) / arms
    reach = width * rng.uniform(0.5, 0.65)
    tips = [(reach * np.sin(a), 0.04, reach * np.cos(a)) for a in angles]
    return [
        rod('leg', (0, 0.08, 0), (0, height, 0), 0.07),
        *(rod('leg', (0, 0.1, 0), tip, 0.06) for tip in tips),
    ]
