"""A split of labelled point clouds as arrays: what every data plug-in returns."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled point clouds in memory.

    Attributes:
        points: [S, N, 3] float32, S clouds of N points, in the data set's own units.
        labels: [S] int32, in 0..len(classes)-1.
        classes: the class names by label.
        part_labels: [S, N] int32 or None, a part label for every point.
    """

    points: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    part_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> 'Split':
        """The clouds of `indices`, in their order."""
        parts = None if self.part_labels is None else self.part_labels[indices]
        return dataclasses.replace(
            self, points=self.points[indices], labels=self.labels[indices], part_labels=parts
        )
