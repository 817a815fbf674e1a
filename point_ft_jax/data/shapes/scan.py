"""What a depth camera leaves of a surface: hidden points, holes and noise.

Distances are in units of an object of radius 1 at the origin.
"""

from typing import NamedTuple

import numpy as np

from point_ft_jax.data.shapes.solids import cross
from point_ft_jax.data.shapes.surface import Surface, rows

VIEWS = (2, 4)
DISTANCE = (2.2, 3.6)
ELEVATION = (0.15, 0.9)
# Less than a right angle to each side, so that no camera looks through the wall behind an object.
ARC = 1.5
PIXELS_PER_POINT = 0.35
TOLERANCE = 1.0
GRAZING = 0.15
HOLES = (1, 4)
HOLE_RADIUS = (0.08, 0.22)
NOISE_FLOOR = 0.004
NOISE_GROWTH = 0.0012


class Scan(NamedTuple):
    """The visible part of a surface.

    Attributes:
        surface: the points that at least one camera sees.
        rays: [P, 3], from the nearest such camera to each point.
    """

    surface: Surface
    rays: np.ndarray


def cameras(rng: np.random.Generator) -> np.ndarray:
    """[V, 3], two to four places around the front of an object, from about its height to above."""
    count = rng.integers(*VIEWS, endpoint=True)
    azimuth = rng.uniform(-ARC, ARC, count)
    elevation = rng.uniform(*ELEVATION, count)
    directions = np.stack(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ],
        axis=1,
    )
    return directions * rng.uniform(*DISTANCE, (count, 1))


def visible(surface: Surface, camera: np.ndarray) -> np.ndarray:
    """[P] bool, the points that a camera looking at the origin sees, by a z-buffer.

    A point is seen if its surface faces the camera and nothing covers it: it lies about as
    deep as the nearest point of its pixel. Pixels are as fine as the points' density allows.
    Surfaces at a grazing angle thin out, as they do for a real sensor.

    Args:
        surface: the points, closed surfaces with outward normals.
        camera: [3], outside the surface.
    """
    rays = surface.points - camera
    slant = -np.einsum('pi,pi->p', rays, surface.normals)
    seen = slant > 0
    facing = np.flatnonzero(seen)
    if len(facing) == 0:
        return seen
    forward = -camera / np.linalg.norm(camera)
    right = cross(forward, (0.0, 1.0, 0.0) if abs(forward[1]) < 0.99 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    basis = np.stack([right, cross(right, forward), forward])
    across, up, depth = basis @ rows(rays, facing).T
    image = np.stack([across, up]) / depth
    low = image.min(axis=1, keepdims=True)
    side = 2 * max(4, int(np.sqrt(PIXELS_PER_POINT * len(facing)) / 2))
    pixel = (image - low).max() * (1 + 1e-6) / side + 1e-9
    column, row = ((image - low) / pixel).astype(np.int32)
    nearest = np.full((side, side), np.inf)
    np.minimum.at(nearest, (column, row), depth)
    # By chance a pixel of a near surface is empty; of four together hardly ever.
    around = nearest.reshape(side // 2, 2, side // 2, 2).min(axis=(1, 3))
    # The steeper a surface, the more depths it has within one pixel.
    steepness = depth / np.maximum(slant[facing], GRAZING * depth)
    slack = TOLERANCE * pixel * depth * steepness
    limit = np.minimum(nearest[column, row] + slack, around[column // 2, row // 2] + 2 * slack)
    seen[facing] = depth <= limit
    return seen


def scan(surface: Surface, rng: np.random.Generator) -> Scan:
    """What a few cameras see of a surface, together."""
    places = cameras(rng)
    seen = np.stack([visible(surface, place) for place in places])
    kept = np.flatnonzero(seen.any(axis=0))
    surface = surface.take(kept)
    offsets = surface.points - places[:, None]
    squares = np.where(seen[:, kept], np.einsum('vpi,vpi->vp', offsets, offsets), np.inf)
    return Scan(surface, offsets[squares.argmin(axis=0), np.arange(len(kept))])


def punch(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[P] bool, the points outside a few random balls around points; half of them at least stay."""
    count = rng.integers(*HOLES, endpoint=True)
    centers = points[rng.integers(len(points), size=count)]
    radii = rng.uniform(*HOLE_RADIUS, count)
    kept = np.ones(len(points), bool)
    for center, radius in zip(centers, radii, strict=True):
        outside = kept & (((points - center) ** 2).sum(axis=1) > radius**2)
        if outside.sum() * 2 >= len(points):
            kept = outside
    return kept


def jitter(points: np.ndarray, rays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[P, 3], the points with noise along their rays that grows with the square of the distance."""
    squares = (rays**2).sum(axis=1)
    sigma = NOISE_FLOOR + NOISE_GROWTH * squares
    return points + rays * (sigma * rng.standard_normal(len(points)) / np.sqrt(squares))[:, None]
