"""Axis-aligned boxes: around solids, and as a detector's crop."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from point_ft_jax.data.shapes.solids import Solid


class Box(NamedTuple):
    """An axis-aligned box from `low` to `high`, both [3]."""

    low: np.ndarray
    high: np.ndarray

    def holds(self, points: np.ndarray) -> np.ndarray:
        """[P] bool, which points lie inside."""
        columns = zip(points.T, self.low, self.high, strict=True)
        x, y, z = ((low < column) & (column < high) for column, low, high in columns)
        return x & y & z

    def widened(self, margin: float) -> 'Box':
        """The box with `margin` of its size more on every side."""
        spare = margin * (self.high - self.low)
        return Box(self.low - spare, self.high + spare)


def bounds(solids: Sequence[Solid]) -> Box:
    """A box around solids, tight but for round or tapered ones that are turned."""
    sizes = np.array([solid.size for solid in solids]) / 2
    sizes[:, 0::2] *= 1 + np.abs([[solid.taper] for solid in solids])
    centers = np.array([solid.center for solid in solids])
    reach = np.einsum('sij,sj->si', np.abs([solid.rotation for solid in solids]), sizes)
    return Box((centers - reach).min(axis=0), (centers + reach).max(axis=0))


def fitted(solids: Sequence[Solid]) -> list[Solid]:
    """The solids, moved and scaled: the middle of their box at 0, half its diagonal 1."""
    low, high = bounds(solids)
    middle, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    return [
        solid._replace(
            center=(np.asarray(solid.center) - middle) / radius,
            size=np.asarray(solid.size) / radius,
        )
        for solid in solids
    ]
