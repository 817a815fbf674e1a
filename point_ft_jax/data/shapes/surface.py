"""Points on the outside of an assembly of solids, uniform by area."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from point_ft_jax.data.shapes.boxes import Box
from point_ft_jax.data.shapes.solids import Solid, inside, triangles

# Touching faces count as exposed: a point hides only if it lies this share of a size deep.
DEPTH = 1e-3


def rows(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """`array[indices]`, coordinate by coordinate in memory: what follows is then fast."""
    return array.T.take(indices, axis=-1).T


class Surface(NamedTuple):
    """Points with what is known about them, in no order that tells anything.

    Attributes:
        points: [P, 3].
        normals: [P, 3], of length 1, outward.
        parts: [P] int32, the part ids.
    """

    points: np.ndarray
    normals: np.ndarray
    parts: np.ndarray

    def take(self, indices: np.ndarray) -> 'Surface':
        """The points of `indices`, numbers."""
        return Surface(*(rows(field, indices) for field in self))


class Mesh(NamedTuple):
    """The triangles of an assembly, each with the number of its solid.

    Attributes:
        corners: [T, 3, 3].
        normals: [T, 3], of length 1, outward.
        areas: [T].
        owners: [T], the solid's number.
        inner: [T] bool, on the inner wall of a shell.
    """

    corners: np.ndarray
    normals: np.ndarray
    areas: np.ndarray
    owners: np.ndarray
    inner: np.ndarray


def mesh(solids: Sequence[Solid]) -> Mesh:
    """The triangles of all solids."""
    pieces = [triangles(solid) for solid in solids]
    corners = np.concatenate([piece for piece, _ in pieces])
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Written out, for np.cross takes three times as long.
    normals = (
        first[:, [1, 2, 0]] * second[:, [2, 0, 1]] - first[:, [2, 0, 1]] * second[:, [1, 2, 0]]
    )
    lengths = np.sqrt(np.einsum('ti,ti->t', normals, normals))
    # Triangles at a pole have no area.
    normals /= np.maximum(lengths, 1e-12)[:, None]
    owners = np.repeat(np.arange(len(solids)), [len(piece) for piece, _ in pieces])
    inner = np.concatenate([np.arange(len(piece)) >= first for piece, first in pieces])
    return Mesh(corners, normals, lengths / 2, owners, inner)


def scatter(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points uniform by area, grouped by triangle: [count, 3], and [count] triangles."""
    counts = rng.multinomial(count, mesh.areas / mesh.areas.sum())
    chosen = np.repeat(np.arange(len(counts)), counts)
    u, v = rng.random((2, count, 1))
    # Folding the unit square along its diagonal keeps the density uniform on the triangle.
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    a, b, c = mesh.corners.transpose(1, 0, 2)
    return rows(a, chosen) + u * rows(b - a, chosen) + v * rows(c - a, chosen), chosen


def exposed(
    points: np.ndarray, owners: np.ndarray, inner: np.ndarray, solids: Sequence[Solid]
) -> np.ndarray:
    """[P] bool, which points lie inside no solid but their own.

    The inner wall of a shell is always exposed, so that a bowl opens the top it is sunk in.

    Args:
        points: [P, 3] on the solids' surfaces.
        owners: [P], the number of the solid that each lies on.
        inner: [P] bool, on the inner wall of a shell.
        solids: the S solids.
    """
    axes = np.stack([solid.rotation / (np.asarray(solid.size) / 2) for solid in solids])
    centers = np.array([solid.center for solid in solids])
    tapers = np.array([solid.taper for solid in solids])[:, None]
    local = (axes.transpose(2, 0, 1).reshape(-1, 3) @ points.T).reshape(3, len(solids), -1)
    local -= np.einsum('si,sik->ks', centers, axes)[..., None]
    local[0::2] /= np.maximum(1 + tapers * local[1], 1e-3)
    buried = np.abs(local).max(axis=0) < 1 - DEPTH
    buried[owners, np.arange(len(points))] = False
    for number, solid in enumerate(solids):
        if solid.exponents != (0.0, 0.0):
            candidates = np.flatnonzero(buried[number])
            buried[number, candidates] = inside(solid, local[:, number, candidates])
    return inner | ~buried.any(axis=0)


def sample(
    solids: Sequence[Solid],
    part_ids: Sequence[int],
    count: int,
    rng: np.random.Generator,
    view: Box | None = None,
) -> Surface:
    """Points on the exposed surface, uniform by area.

    Args:
        solids: the assembly.
        part_ids: the part id of every solid.
        count: points to scatter on all surfaces; those buried in another solid are dropped.
        rng: where randomness comes from.
        view: if given, points outside this box are dropped too.

    Returns:
        A surface of at most `count` points, grouped by solid.
    """
    whole = mesh(solids)
    points, chosen = scatter(whole, count, rng)
    if view is not None:
        held = np.flatnonzero(view.holds(points))
        points, chosen = rows(points, held), chosen[held]
    owners = whole.owners[chosen]
    seen = np.flatnonzero(exposed(points, owners, whole.inner[chosen], solids))
    parts = np.asarray(part_ids, np.int32)[owners]
    return Surface(points, rows(whole.normals, chosen), parts).take(seen)
