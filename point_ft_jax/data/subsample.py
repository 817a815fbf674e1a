"""Clouds of different sizes brought to one, the same way in every run."""

import zlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import some


def same_size(
    clouds: Sequence[np.ndarray], names: Sequence[str], num_points: int, seed: int
) -> np.ndarray:
    """[S, num_points, 3], of each cloud [N, 3] so many points drawn without replacement, in order.

    What is drawn depends on the seed and the cloud's name alone, not on the clouds beside it.

    Raises:
        UserError: clouds of fewer points; nothing is padded.
    """
    small = [
        f'{name} ({len(cloud):,})'
        for cloud, name in zip(clouds, names, strict=True)
        if len(cloud) < num_points
    ]
    if small:
        raise UserError(
            f'{len(small):,} clouds have fewer than num_points={num_points:,} points: '
            f'{some(small)}; choose a smaller num_points or leave these clouds out'
        )
    pairs = zip(clouds, names, strict=True)
    return np.stack([_draw(cloud, name, num_points, seed) for cloud, name in pairs])


def _draw(cloud: np.ndarray, name: str, num_points: int, seed: int) -> np.ndarray:
    if len(cloud) == num_points:
        return cloud
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return cloud[np.sort(rng.choice(len(cloud), num_points, replace=False))]
