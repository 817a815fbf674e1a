"""What a file says of its points by name: clouds, meshes and scans."""

import pathlib
import re
from collections.abc import Callable

import numpy as np

from point_ft_jax.data.files import mesh, obj, off, pcd, ply, scanners, stl
from point_ft_jax.data.files.mesh import Mesh

MESHES: dict[str, Callable[[bytes], Mesh]] = {
    '.ply': ply.mesh,
    '.obj': obj.parse,
    '.off': off.parse,
    '.stl': stl.parse,
}
SCANS: dict[str, Callable[[pathlib.Path], dict[str, np.ndarray]]] = {
    '.pcd': lambda path: pcd.columns(path.read_bytes()),
    '.las': scanners.las,
    '.laz': scanners.las,
    '.e57': scanners.e57,
}
ENDINGS = (*MESHES, *SCANS)
SURFACES = ('.obj', '.off', '.stl')  # which are no clouds, as a rule


def columns(
    path: pathlib.Path, seed: int = 0, surface_points: int = mesh.POINTS
) -> dict[str, np.ndarray]:
    """What is known of each point [N] of a file of these endings, x, y, z among it, by name.

    Of a mesh, `surface_points` points of its surface; see `mesh.surface`.

    Raises:
        UserError: a damaged file, or one without points.
        OSError: it cannot be read.
    """
    ending = path.suffix.lower()
    if ending in SCANS:
        return SCANS[ending](path)
    return mesh.surface(MESHES[ending](path.read_bytes()), path, seed, surface_points)


def xyz(path: pathlib.Path, seed: int = 0, surface_points: int = mesh.POINTS) -> np.ndarray:
    """The points [N, 3] of `columns`, in the precision of the file."""
    found = columns(path, seed, surface_points)
    return np.stack([found[axis] for axis in mesh.AXES], axis=-1)


def is_sampled(path: pathlib.Path) -> bool:
    """Whether a file is a mesh, from whose surface points are drawn, by its ending and header."""
    if path.suffix.lower() != '.ply':
        return path.suffix.lower() in SURFACES
    with path.open('rb') as file:
        header = file.read(1 << 16).partition(b'end_header')[0]
    return re.search(rb'element[ \t]+face[ \t]+0*[1-9]', header, re.IGNORECASE) is not None
