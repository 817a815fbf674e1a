"""Random compositions of solids that are no object: shapes to pre-train on without labels.

A composition starts from one solid and grows: each step takes a solid that is there, a side of it,
and attaches another one, alone, mirrored, in a row or around an axis. A plan says what is attached
where; measures vary the sizes, so that two objects of one plan differ as two chairs do.
"""

from collections.abc import Callable

import numpy as np

from point_ft_jax.data.shapes.solids import (
    Solid,
    bowl,
    box,
    cross,
    cylinder,
    superquadric,
    torus,
    turn,
)

PART = 'solid'
STEPS = (1, 7)
# Full extents as shares of a host's: a lump, a bar along its own y, a plate across it, a slat.
BUILDS = ((0.6, 0.6, 0.6), (0.2, 1.1, 0.2), (1.0, 0.12, 1.0), (0.5, 1.0, 0.1))
SPREAD = 0.3
VARIATION = 0.12
MIRROR = np.diag([-1.0, 1.0, 1.0])
SMALLEST = 0.03
MOST = 40


def composition(plan: np.random.Generator, measures: np.random.Generator) -> list[Solid]:
    """A composition of 2 to `MOST` solids, all of the part `PART`, some 1 to 3 long.

    Args:
        plan: where the choice of solids, of their places and of the symmetry comes from. The same
            state of it gives the same plan.
        measures: where the variation of sizes within a plan comes from.
    """
    solids = [_piece(plan, measures, np.ones(3))]
    repeat = _symmetry(plan)
    for _ in range(int(plan.integers(*STEPS, endpoint=True))):
        host = solids[plan.integers(len(solids))]
        added = repeat(_attached(plan, measures, host))
        if len(solids) + len(added) > MOST:
            break
        solids += added
    pose = _pose(plan)
    return [_moved(solid, pose) for solid in solids]


def _piece(plan, measures, extents: np.ndarray) -> Solid:
    """A solid at the origin, of any form, in size about a share of `extents`."""
    build = np.array(BUILDS[plan.choice(len(BUILDS), p=(0.4, 0.25, 0.2, 0.15))])
    size = (
        extents
        * build
        * np.exp(plan.normal(0, SPREAD, 3))
        * np.exp(measures.normal(0, VARIATION, 3))
    )
    size = np.maximum(size, SMALLEST)
    form = plan.integers(6)
    taper = float(plan.choice([0.0, 0.0, 1.0]) * plan.uniform(-0.9, 0.9))
    profile, loop = plan.choice([0.0, 0.3, 0.6, 1.0], 2)
    if form >= 2 and plan.random() < 0.6:
        size[2] = size[0]
    origin = np.zeros(3)
    if form < 2:
        return box(PART, origin, size, taper=taper)
    if form == 2:
        return cylinder(PART, origin, size, taper=taper)
    if form == 3:
        return torus(PART, origin, size, float(plan.choice([0.1, 0.2, 0.35])))
    if form == 4:
        wall = float(plan.choice([0.06, 0.15]))
        return bowl(PART, origin, size, (profile, loop), wall, taper * 0.4)
    return superquadric(PART, origin, size, (profile, loop), taper=taper * 0.5)


def _attached(plan, measures, host: Solid) -> list[Solid]:
    """One solid on a side of its host, or a row of copies along it."""
    side = int(plan.integers(3))
    direction = np.eye(3)[side] * plan.choice([-1.0, 1.0])
    spot = plan.uniform(-0.9, 0.9, 3) * (plan.random(3) < 0.5)
    spot[side] = direction[side]
    extents = np.asarray(host.size)
    reach = np.full(3, extents.max()) * plan.uniform(0.4, 1.0)
    piece = _piece(plan, measures, reach)
    own = (
        _aimed(direction, plan)
        if plan.random() < 0.8
        else turn(int(plan.integers(3)), plan.uniform(0, 3))
    )
    half = np.abs(own @ (np.asarray(piece.size) / 2))
    sunk = plan.uniform(0.7, 0.98)
    place = spot * extents / 2 + direction * half[side] * sunk
    center = np.asarray(host.center) + host.rotation @ place
    piece = piece._replace(center=center, rotation=host.rotation @ own)
    if plan.random() < 0.75:
        return [piece]
    along = (side + 1 + int(plan.integers(2))) % 3
    count = int(plan.integers(2, 6))
    shifts = np.linspace(-0.45, 0.45, count)[:, None] * host.rotation[:, along] * extents[along]
    return [piece._replace(center=center + shift) for shift in shifts]


def _aimed(direction: np.ndarray, plan) -> np.ndarray:
    """A rotation that takes y to the direction, leant a little at times."""
    side = np.roll(direction, 1)
    rotation = np.stack([side, direction, cross(side, direction)], axis=1)
    if plan.random() < 0.35:
        rotation = rotation @ turn(int(plan.choice([0, 2])), plan.uniform(-0.7, 0.7))
    return rotation


def _symmetry(plan) -> Callable[[list[Solid]], list[Solid]]:
    """What is done with the solids of a step: nothing, mirrored in x, or turned around y."""
    kind = plan.random()
    if kind < 0.35:
        return lambda solids: solids
    if kind < 0.75:
        return lambda solids: [
            *solids,
            *(_mirrored(solid) for solid in solids if abs(solid.center[0]) > 0.02),
        ]
    count = int(plan.integers(3, 7))
    turns = [turn(1, 2 * np.pi * number / count) for number in range(count)]
    return lambda solids: [
        _moved(solid, rotation)
        for solid in solids
        for rotation in (turns if np.hypot(solid.center[0], solid.center[2]) > 0.02 else turns[:1])
    ]


def _mirrored(solid: Solid) -> Solid:
    # A solid is its own mirror image in its x, which keeps the rotation a rotation.
    return solid._replace(center=MIRROR @ solid.center, rotation=MIRROR @ solid.rotation @ MIRROR)


def _moved(solid: Solid, rotation: np.ndarray) -> Solid:
    return solid._replace(center=rotation @ solid.center, rotation=rotation @ solid.rotation)


def _pose(plan) -> np.ndarray:
    """Upright for most, lying or leant for the others."""
    kind = plan.random()
    if kind < 0.6:
        return np.eye(3)
    if kind < 0.85:
        return turn(int(plan.choice([0, 2])), np.pi / 2)
    return turn(1, plan.uniform(0, 2 * np.pi)) @ turn(0, plan.uniform(0, 2 * np.pi))
