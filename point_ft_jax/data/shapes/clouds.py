"""A cloud of an object: complete, or scanned in one of ScanObjectNN's three variants."""

from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.data.shapes.boxes import Box, bounds, fitted
from point_ft_jax.data.shapes.scan import jitter, punch, scan
from point_ft_jax.data.shapes.scene import MARGIN, background, displaced
from point_ft_jax.data.shapes.solids import Solid, turn
from point_ft_jax.data.shapes.surface import Surface, sample

# Points scattered per point asked for, as hidden sides, the crop and holes cost most of them.
SCATTERED = {'cad': 2, 'obj_only': 5, 'obj_bg': 7, 'pb_t50_rs': 7}
SCALES = {'obj_only': (0.8, 1.0), 'obj_bg': (0.8, 1.0), 'pb_t50_rs': (0.55, 1.0)}
VARIANTS = tuple(SCALES)
# Enough of the object's points to judge how much of it a box holds.
PROBE = 256


def complete(
    ids: Mapping[str, int], solids: Sequence[Solid], num_points: int, rng: np.random.Generator
) -> Surface:
    """The whole object in its own pose, its mean at the origin, the farthest point at distance 1.

    Args:
        ids: the id of every part by its name.
        solids: the object.
        num_points: points to return.
        rng: where randomness comes from.

    Returns:
        `num_points` points in random order, uniform by area on all that is not buried.
    """
    surface = _surface(ids, solids, _scattered('cad', num_points), rng)
    surface = surface.take(_draw(len(surface.points), num_points, rng))
    points = surface.points - surface.points.mean(axis=0)
    return surface._replace(points=points / _radius(points))


def scanned(
    ids: Mapping[str, int],
    solids: Sequence[Solid],
    variant: str,
    num_points: int,
    rng: np.random.Generator,
) -> Surface:
    """What a scanner sees of the object, turned at random about y.

    Args:
        ids: the id of every part by its name, of 'background' too.
        solids: the object.
        variant: one of `VARIANTS`.
        num_points: points to return.
        rng: where randomness comes from.

    Returns:
        `num_points` points in random order, in a box around the origin, the farthest at a distance
        within the variant's `SCALES`. Where too few are visible they repeat, with fresh noise.
    """
    solids = fitted(solids)
    view = bounds(solids).widened(MARGIN)
    if variant == 'pb_t50_rs':
        view = displaced(view, _surface(ids, solids, PROBE, rng).points, rng)
    if variant != 'obj_only':
        solids = solids + background(bounds(solids), view, rng)
    seen, rays = scan(_surface(ids, solids, _scattered(variant, num_points), rng, view), rng)
    kept = np.flatnonzero(punch(seen.points, rng))
    kept = kept[_draw(len(kept), num_points, rng)]
    points = jitter(seen.points[kept], rays[kept], rng) @ turn(1, rng.uniform(0, 2 * np.pi)).T
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    points *= rng.uniform(*SCALES[variant]) / _radius(points)
    return seen.take(kept)._replace(points=points)


def turned(surface: Surface, rng: np.random.Generator) -> Surface:
    """The surface turned about y by any angle."""
    rotation = turn(1, rng.uniform(0, 2 * np.pi)).T
    return surface._replace(points=surface.points @ rotation, normals=surface.normals @ rotation)


def _surface(
    ids: Mapping[str, int],
    solids: Sequence[Solid],
    count: int,
    rng: np.random.Generator,
    view: Box | None = None,
) -> Surface:
    return sample(solids, [ids[solid.part] for solid in solids], count, rng, view)


def _scattered(look: str, num_points: int) -> int:
    return SCATTERED[look] * max(num_points, PROBE)


def _draw(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """[wanted] indices in random order, without repetition if there are enough."""
    order = rng.permutation(available)
    return np.resize(order, wanted)


def _radius(points: np.ndarray) -> float:
    # A cloud of one point has none, and stays at the origin.
    return max(np.sqrt((points**2).sum(axis=1).max()), 1e-9)
