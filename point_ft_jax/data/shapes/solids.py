"""Solids: boxes, cylinders, superquadrics, tori and bowls, each a profile swept around a loop.

In its own frame a solid fills [-1, 1]^3 and its axis is y. The profile is a line in (radius,
height), the loop a closed line in (x, z), and both are superellipses: exponent 0 is a square, 1 a
circle. One family thus holds the box (0, 0), the cylinder (0, 1), the ellipsoid (1, 1) and the
cushion in between.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UPRIGHT = np.eye(3)
LOOP_CORNERS = 20
ARC_CORNERS = 6
NEVER = 10_000


class Solid(NamedTuple):
    """One solid of an assembly, made by the functions below.

    Attributes:
        part: the name of the part that its surface belongs to.
        form: 'full', 'shell' (hollow, open at the top) or 'ring'.
        center: [3], the middle.
        size: [3], the full extents along its own axes.
        rotation: [3, 3], its axes as columns.
        taper: the top is 1 + taper times as wide as the middle, the bottom 1 - taper times.
        exponents: of profile and loop, each 0 (square) to 1 (round).
        thickness: a shell's wall or the radius of a ring's tube, as a share of the outer radius.
    """

    part: str
    form: str
    center: Sequence[float]
    size: Sequence[float]
    rotation: np.ndarray = UPRIGHT
    taper: float = 0.0
    exponents: tuple[float, float] = (0.0, 0.0)
    thickness: float = 0.0


def box(
    part: str,
    center: Sequence[float],
    size: Sequence[float],
    rotation: np.ndarray = UPRIGHT,
    taper: float = 0.0,
) -> Solid:
    """A box of full extents `size`."""
    return Solid(part, 'full', center, size, rotation, taper)


def cylinder(
    part: str,
    center: Sequence[float],
    size: Sequence[float],
    rotation: np.ndarray = UPRIGHT,
    taper: float = 0.0,
) -> Solid:
    """A cylinder along its own y; a frustum if it tapers."""
    return Solid(part, 'full', center, size, rotation, taper, (0.0, 1.0))


def superquadric(
    part: str,
    center: Sequence[float],
    size: Sequence[float],
    exponents: tuple[float, float] = (1.0, 1.0),
    rotation: np.ndarray = UPRIGHT,
    taper: float = 0.0,
) -> Solid:
    """A superellipsoid: an ellipsoid for exponents 1, a box with soft edges for small ones."""
    return Solid(part, 'full', center, size, rotation, taper, exponents)


def torus(
    part: str,
    center: Sequence[float],
    size: Sequence[float],
    tube: float,
    rotation: np.ndarray = UPRIGHT,
) -> Solid:
    """A ring around its own y, `size[1]` thick, with a tube radius of `tube` outer radii."""
    return Solid(part, 'ring', center, size, rotation, 0.0, (1.0, 1.0), tube)


def bowl(
    part: str,
    center: Sequence[float],
    size: Sequence[float],
    exponents: tuple[float, float] = (1.0, 1.0),
    wall: float = 0.1,
    taper: float = 0.0,
) -> Solid:
    """A vessel open at the top: a bowl (1, 1), a pot (0, 1), a tray or an open box (0, 0)."""
    return Solid(part, 'shell', center, size, UPRIGHT, taper, exponents, wall)


def rod(
    part: str,
    start: Sequence[float],
    end: Sequence[float],
    width: float,
    *,
    square: bool = False,
    taper: float = 0.0,
) -> Solid:
    """A straight rod of a round (or square) section from `start` to `end`."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    side = UPRIGHT[2 if abs(along[0]) > 0.9 else 0]
    side = side - along * (along @ side)
    side = side / np.linalg.norm(side)
    rotation = np.stack([side, along, cross(side, along)], axis=1)
    make = box if square else cylinder
    return make(part, (start + end) / 2, (width, length, width), rotation, taper)


def plank(
    part: str,
    start: Sequence[float],
    end: Sequence[float],
    section: tuple[float, float],
    across: Sequence[float],
    *,
    taper: float = 0.0,
    exponents: tuple[float, float] = (0.0, 0.0),
) -> Solid:
    """A flat bar, blade or leaf from `start` to `end`.

    Args:
        part: its part.
        start: [3], the middle of one end.
        end: [3], the middle of the other.
        section: its width and its thickness in the middle.
        across: [3], where the width points; only what is perpendicular to the bar counts.
        taper: how much wider the end is than the middle, as a share.
        exponents: of profile and loop: (0, 0) is a board, (1, 1) a leaf.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    side = np.asarray(across, float)
    side = side - along * (along @ side)
    side = side / np.linalg.norm(side)
    rotation = np.stack([side, along, cross(side, along)], axis=1)
    size = (section[0], length, section[1])
    return Solid(part, 'full', (start + end) / 2, size, rotation, taper, exponents)


def turned(
    part: str, radii: Sequence[float], heights: Sequence[float], loop: float = 1.0
) -> list[Solid]:
    """Frusta on each other around y, as a lathe turns them: [K] radii at [K] rising heights.

    Args:
        part: their part.
        radii: the radius at each height, above 0.
        heights: from the bottom to the top.
        loop: 1 for a round section, 0 for a square one.
    """
    solids = []
    for low, high, wide, narrow in zip(heights, heights[1:], radii, radii[1:], strict=False):
        # Each reaches a little into the next, so that no disc between two of them is outside.
        tall = (high - low) * 1.02
        mean = wide + narrow
        size = (mean, tall, mean)
        center = (0, low + tall / 2, 0)
        taper = (narrow - wide) / mean
        solids.append(Solid(part, 'full', center, size, UPRIGHT, taper, (0.0, loop)))
    return solids


def stretched(solid: Solid, factors: Sequence[float]) -> Solid:
    """The solid as scaling the space by `factors` [3] leaves it, its corners kept right angles.

    Exact where its axes lie along those of the space; a rod or a plank keeps its ends everywhere.
    """
    axes = np.asarray(factors)[:, None] * solid.rotation
    size = np.asarray(solid.size) * np.linalg.norm(axes, axis=0)
    along = axes[:, 1] / np.linalg.norm(axes[:, 1])
    side = axes[:, 0] - along * (along @ axes[:, 0])
    side = side / np.linalg.norm(side)
    rotation = np.stack([side, along, cross(side, along)], axis=1)
    return solid._replace(center=np.multiply(solid.center, factors), size=size, rotation=rotation)


def shifted(point: Sequence[float], x: float, y: float, z: float) -> np.ndarray:
    """[3], the point moved along the axes."""
    return np.add(point, (x, y, z))


def cross(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """The cross product of two vectors [3]. (np.cross is made for many, and slow for two.)"""
    (a, b, c), (x, y, z) = map(float, first), map(float, second)
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def turn(axis: int, angle: float) -> np.ndarray:
    """[3, 3], the rotation by `angle` radians about axis 0 (x), 1 (y) or 2 (z)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[second, first] = np.sin(angle)
    rotation[first, second] = -np.sin(angle)
    return rotation


def triangles(solid: Solid) -> tuple[np.ndarray, int]:
    """The surface as triangles, wound so that (b - a) x (c - a) points outward.

    Returns:
        [T, 3, 3] corners in the assembly's frame, and the number of the first triangle on the inner
        wall of a shell (`NEVER` for other forms).
    """
    corners, first_inner = _unit_triangles(solid.form, solid.exponents, solid.thickness)
    if solid.taper:
        widths = 1 + solid.taper * corners[..., 1:2]
        corners = corners * np.concatenate([widths, np.ones_like(widths), widths], axis=-1)
    return (corners * (np.asarray(solid.size) / 2)) @ solid.rotation.T + solid.center, first_inner


def inside(solid: Solid, local: np.ndarray) -> np.ndarray:
    """[P] bool, which points lie inside; a shell counts as filled to its brim.

    Args:
        solid: the solid.
        local: [3, P], the points in its own frame without taper, inside [-1, 1]^3.
    """
    x, y, z = np.abs(local)
    bend_profile, bend_loop = solid.exponents
    if bend_loop == 0:
        radius = np.maximum(x, z)
    else:
        radius = (x ** (2 / bend_loop) + z ** (2 / bend_loop)) ** (bend_loop / 2)
    if solid.form == 'ring':
        return ((radius - 1 + solid.thickness) / solid.thickness) ** 2 + y**2 < 1
    if bend_profile == 0:
        return radius < 1
    height = (1 - local[1]) / 2 if solid.form == 'shell' else y
    return radius ** (2 / bend_profile) + height ** (2 / bend_profile) < 1


@functools.lru_cache(maxsize=64)
def _unit_triangles(
    form: str, exponents: tuple[float, float], thickness: float
) -> tuple[np.ndarray, int]:
    profile, first_inner = _profile(form, exponents[0], thickness)
    loop = _loop(exponents[1])
    grid = np.empty((len(profile), len(loop), 3))
    grid[..., 0::2] = profile[:, None, :1] * loop
    grid[..., 1] = profile[:, 1:]
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    corners = np.stack([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)], axis=2)
    return corners.reshape(-1, 3, 3), min(first_inner * 2 * (len(loop) - 1), NEVER)


def _loop(exponent: float) -> np.ndarray:
    """[L, 2], once around from x towards z, closed."""
    if exponent == 0:
        return np.array([[1, -1], [1, 1], [-1, 1], [-1, -1], [1, -1]], float)
    angles = np.linspace(0, 2 * np.pi, LOOP_CORNERS + 1)
    return _superellipse(angles, exponent)


def _profile(form: str, exponent: float, thickness: float) -> tuple[np.ndarray, int]:
    """[K, 2] of (radius, height), the outside on the right, and the first inner segment."""
    if form == 'ring':
        angles = np.linspace(-np.pi, np.pi, ARC_CORNERS * 2)
        return np.stack([1 - thickness + thickness * np.cos(angles), np.sin(angles)], 1), NEVER
    if exponent == 0:
        quarter = np.array([[0, -1], [1, -1], [1, 0]], float)
    else:
        quarter = _superellipse(np.linspace(-np.pi / 2, 0, ARC_CORNERS), exponent)
    if form == 'full':
        return np.concatenate([quarter, quarter[-2::-1] * (1, -1)]), NEVER
    outer = quarter * (1, 2) + (0, 1)
    inner = quarter[::-1] * (1 - thickness, 2 - thickness) + (0, 1)
    return np.concatenate([outer, inner]), len(outer) - 1


def _superellipse(angles: np.ndarray, exponent: float) -> np.ndarray:
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # Rounding leaves 1e-16 where the cosine is zero, which a small exponent would blow up.
    circle[np.abs(circle) < 1e-9] = 0
    return np.sign(circle) * np.abs(circle) ** exponent
