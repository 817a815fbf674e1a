"""How clouds compare with those that a model was trained on: points, scale, order of the axes."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from point_ft_jax.core.errors import warn
from point_ft_jax.data.precision import centred

MANY = 16  # clouds from which on the order of the axes can be told
TURNED, FITTING = 0.6, 0.3  # of the logarithms of sides: what differs, and what fits


def measures(points: np.ndarray) -> dict[str, Any]:
    """What to keep of training clouds [S, N, 3 or more] to compare others with, in JSON's types.

    'stored_points' of a cloud, quantiles of the 'radius' about the centroid, and the median
    'sides' of the clouds' boxes along x, y, z, in parts of the longest.
    """
    radius = [_radius(cloud) for cloud in points]
    return {
        'stored_points': points.shape[1],
        'radius': [float(np.quantile(radius, q)) for q in (0.01, 0.5, 0.99)],
        'sides': _sides(points).tolist(),
    }


def in_unit_sphere(measured: Mapping[str, Any]) -> bool:
    """Whether the clouds that were `measured` had been centred and scaled to radius 1.

    Of clouds that were not, three quantiles of the radius about the centroid are never all 1.
    """
    return all(abs(radius - 1) < 1e-3 for radius in measured.get('radius', [0]))


def differences(cloud: np.ndarray, measured: Mapping[str, Any]) -> list[str]:
    """How a cloud [N, 3 or more] differs from the training's, a few words each; [] if it doesn't.

    `measured` is what `measures` gave; what it lacks is not compared.
    """
    found = []
    points = measured.get('stored_points', len(cloud))
    if len(cloud) != points:
        found.append(f'{len(cloud)} points, trained on {points}')
    if 'radius' in measured:
        radius = _radius(cloud)
        low, middle, high = measured['radius']
        if not 0.8 * low <= radius <= 1.25 * high:
            found.append(f'radius {radius:.3g}, trained on about {middle:.3g} (--normalize?)')
    return found


def warn_of_differences(clouds: np.ndarray, measured: Mapping[str, Any]) -> None:
    """Warns if most of the clouds [S, N, 3 or more] differ from the training's."""
    if found := batch_differences(clouds, measured):
        warn(
            f'these clouds differ from those that the model was trained on: {"; ".join(found)}',
        )


def batch_differences(clouds: np.ndarray, measured: Mapping[str, Any]) -> list[str]:
    """How most of several clouds differ from the training's; see `differences`."""
    if clouds.shape[1] < measured.get('points', 0):
        return []  # fewer than the model takes: refused by what samples them
    each = [differences(cloud, measured) for cloud in clouds]
    differing = [found for found in each if found]
    found = []
    if 2 * len(differing) > len(clouds):
        found.append(f'{len(differing):,} of {len(clouds):,}, the first with {differing[0][0]}')
        found += differing[0][1:]
    if len(clouds) >= MANY and (order := _order(_sides(clouds), measured.get('sides'))):
        found.append(f'their axes seem to be in the order {order}: is another axis up?')
    return found


def _order(sides: np.ndarray, trained: list[float] | None) -> str:
    """The axes in the order in which the sides fit those of the training, '' if they fit as is."""
    if trained is None or not (sides > 0).all() or not min(trained) > 0:
        return ''
    error = {
        order: np.abs(np.log(sides[list(order)] / trained)).sum()
        for order in itertools.permutations(range(3))
    }
    best = min(error, key=error.get)
    turned = error[0, 1, 2] > TURNED and error[best] < FITTING
    return ', '.join('xyz'[axis] for axis in best) if turned else ''


def _radius(cloud: np.ndarray) -> float:
    return float(np.linalg.norm(centred(cloud[:, :3]), axis=1).max())


def _sides(points: np.ndarray) -> np.ndarray:
    """The median sides of clouds' boxes [3], in parts of the longest."""
    sides = points[..., :3].max(axis=1) - points[..., :3].min(axis=1)
    median = np.median(sides, axis=0).astype(np.float64)
    return median / max(median.max(), np.finfo(np.float64).tiny)
