"""Clouds centred on their mean and scaled to reach the unit sphere, as ModelNet40 is used."""

import zlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import UserError, warn
from point_ft_jax.data.checks import some
from point_ft_jax.data.files.inventory import composed
from point_ft_jax.data.precision import centred


def unit_sphere(points: np.ndarray) -> np.ndarray:
    """Clouds [S, N, 3 + F] with their centroids in the origin, their farthest points at distance 1.

    Returns float32 of the same shape, cast from float64 at the end; what a point has beside its
    place stays. The clouds must have some extent.
    """
    result = points.astype(np.float32)
    # Cloud by cloud: a whole data set in float64 would triple the memory it needs.
    for index, cloud in enumerate(points[..., :3]):
        moved = centred(cloud)
        result[index, :, :3] = moved / np.sqrt((moved**2).sum(axis=1).max())
    return result


def same_size(
    clouds: Sequence[np.ndarray],
    names: Sequence[str],
    num_points: int,
    seed: int,
    repeat: bool = False,
) -> np.ndarray:
    """[S, num_points, 3], of each cloud [N, 3] so many points drawn without replacement, in order.

    What is drawn depends on the seed and the cloud's name alone, not on the clouds beside it. With
    `repeat` the points of smaller clouds are repeated, with a warning.

    Raises:
        UserError: clouds of fewer points, without `repeat`; nothing is padded.
    """
    small = [
        f'{name} ({len(cloud):,})'
        for cloud, name in zip(clouds, names, strict=True)
        if len(cloud) < num_points
    ]
    if small and repeat:
        warn(
            f'{len(small):,} clouds have fewer than num_points={num_points:,} points, which are '
            f'repeated: {some(small)}',
        )
    elif small:
        raise UserError(
            f'{len(small):,} clouds have fewer than num_points={num_points:,} points: '
            f'{some(small)}; choose a smaller num_points or leave these clouds out'
        )
    pairs = zip(clouds, names, strict=True)
    return np.stack([draw(cloud, name, num_points, seed) for cloud, name in pairs])


def draw(cloud: np.ndarray, name: str, num_points: int, seed: int) -> np.ndarray:
    """[num_points, 3 + F] of a cloud [N, 3 + F]; see `same_size`."""
    if len(cloud) == num_points:
        return cloud
    if len(cloud) < num_points:
        return np.resize(cloud, (num_points, cloud.shape[1]))
    rng = np.random.default_rng([seed, zlib.crc32(composed(name).encode())])
    return cloud[np.sort(rng.choice(len(cloud), num_points, replace=False))]
