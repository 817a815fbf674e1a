"""Points on the surface of a mesh."""

import dataclasses
import itertools
import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files.inventory import composed

AXES = ('x', 'y', 'z')
NORMALS = ('nx', 'ny', 'nz')
POINTS = 8192  # that are drawn from a surface


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Vertices, and the triangles between them.

    Attributes:
        vertices: by name x, y, z and what else is known of each, [V].
        triangles: [T, 3] whole numbers, the vertices of each; T is 0 for a cloud.
    """

    vertices: Mapping[str, np.ndarray]
    triangles: np.ndarray


def triangles_of(
    faces: np.ndarray | Sequence[Sequence[int]], number_of_vertices: int
) -> np.ndarray:
    """The triangles [T, 3] of polygons, each a fan about its first corner.

    Args:
        faces: the corners of each, [F, 3 or more] or a sequence a face, of less than 2**63.
        number_of_vertices: which they are numbers of, from 0 on.

    Raises:
        UserError: a corner that is no vertex. Faces of fewer than three corners have no surface.
    """
    if isinstance(faces, np.ndarray):  # all of as many corners
        middle = range(1, faces.shape[1] - 1)
        fans = [faces[:, [0, i, i + 1]] for i in middle]
        triangles = np.concatenate([np.empty((0, 3), np.int64), *fans])
    else:
        corners = np.fromiter(itertools.chain.from_iterable(faces), np.int64)
        lengths = np.array([*map(len, faces)], np.int64)
        fans = np.maximum(lengths - 2, 0)  # triangles of each face
        roots = np.repeat(np.cumsum(lengths) - lengths, fans)
        steps = np.arange(fans.sum()) - np.repeat(np.cumsum(fans) - fans, fans)
        triangles = corners[np.stack([roots, roots + steps + 1, roots + steps + 2], axis=-1)]
    return checked(triangles, number_of_vertices)


def checked(triangles: np.ndarray, number_of_vertices: int) -> np.ndarray:
    """Triangles all of whose corners are vertices.

    Raises:
        UserError: the others, by the number of the first.
    """
    wrong = np.flatnonzero(((triangles < 0) | (triangles >= number_of_vertices)).any(axis=1))
    if len(wrong):
        raise UserError(
            f'a face has the corners {triangles[wrong[0]].tolist()}, counted from 0, and there are '
            f'{number_of_vertices:,} vertices'
        )
    return triangles


def surface(
    mesh: Mesh, path: pathlib.Path, seed: int = 0, count: int = POINTS
) -> dict[str, np.ndarray]:
    """`count` points [count] of a mesh's surface, evenly by area, by the names of its vertices.

    What is known of vertices is interpolated between the corners; normals, where the vertices have
    none, are those of the triangles. Of a mesh without triangles all vertices come back, as they
    are. What is drawn depends on the mesh, the name of the file and the seed.

    Raises:
        UserError: corners that are NaN or infinite, or triangles without area.
    """
    if not len(mesh.triangles):
        return dict(mesh.vertices)
    corners = np.stack([mesh.vertices[axis].astype(np.float64) for axis in AXES], axis=-1)
    corners = corners[mesh.triangles]
    with np.errstate(over='ignore', invalid='ignore'):
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        areas = np.linalg.norm(normals, axis=1)
        total = areas.sum()
    if not np.isfinite(total):
        raise UserError('a corner of a triangle is NaN, infinite or too far away; repair the mesh')
    if total <= 0:
        raise UserError(
            'its triangles have no area; repair the mesh, or save its vertices as a cloud'
        )
    r = np.random.default_rng([seed, zlib.crc32(composed(path.name).encode())])
    which = np.searchsorted(np.cumsum(areas), r.random(count) * total, side='right')
    which = np.minimum(which, np.flatnonzero(areas)[-1])
    root, along = np.sqrt(r.random(count)), r.random(count)
    weights = np.stack([1 - root, root * (1 - along), root * along])
    found = {
        name: _interpolated(values, mesh.triangles[which].T, weights)
        for name, values in mesh.vertices.items()
    }
    if not {*NORMALS} & {*found}:
        of_triangles = normals[which] / areas[which, None]
        found |= dict(zip(NORMALS, of_triangles.T, strict=True))
    return found


def _interpolated(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[N] of the values [V] at corners [3, N]; whole numbers stay whole, as colours are."""
    known = values[corners].astype(np.float64)
    # From the first corner on, lest weights that sum to nearly 1 move a point far away.
    found = known[0] + ((known[1:] - known[0]) * weights[1:]).sum(axis=0)
    return np.rint(found).astype(values.dtype) if values.dtype.kind in 'iu' else found
