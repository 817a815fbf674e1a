"""Clouds centred on their mean and scaled to reach the unit sphere, as ModelNet40 is used."""

import numpy as np


def unit_sphere(points: np.ndarray) -> np.ndarray:
    """Clouds [S, N, 3] with their centroids in the origin and their farthest points at distance 1.

    Returns float32 [S, N, 3]. The clouds must have some extent.
    """
    result = np.empty(points.shape, np.float32)
    # Cloud by cloud: a whole data set in float64 would triple the memory it needs.
    for index, cloud in enumerate(points):
        centred = cloud - cloud.mean(axis=0, dtype=np.float64)
        result[index] = centred / np.sqrt((centred**2).sum(axis=1).max())
    return result
