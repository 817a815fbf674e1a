"""A split of labelled point clouds as arrays: what every data plug-in returns."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from point_ft_jax.data import _checks
from point_ft_jax.errors import UserError, raise_all


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled point clouds in memory.

    Attributes:
        points: [S, N, 3] float32, S clouds of N points, in the data set's own units.
        labels: [S] int32, in 0..len(classes)-1.
        classes: the class names by label.
        part_labels: [S, N] int32 or None, a part label for every point.
        features: arrays [S, ...] of what teachers of pre-training know of each cloud, by name.
    """

    points: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    part_labels: np.ndarray | None = None
    features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> 'Split':
        """The clouds of `indices`, in their order."""
        parts = None if self.part_labels is None else self.part_labels[indices]
        return dataclasses.replace(
            self,
            points=self.points[indices],
            labels=self.labels[indices],
            part_labels=parts,
            features={name: array[indices] for name, array in self.features.items()},
        )


def from_arrays(
    points: ArrayLike, labels: ArrayLike, classes: Sequence[str] | None = None
) -> Split:
    """A split of one's own arrays, checked as the files of a data set are.

    Args:
        points: [S, N, 3] real numbers; kept as float32, in their own units.
        labels: [S] integers from 0.
        classes: the class names by label, some of which may have no cloud. Without them the classes
            are '0', '1', ..., and each needs a cloud.

    Raises:
        UserError: a wrong shape or type, a NaN, a cloud without extent, a label out of range, a
            class without a cloud, a repeated class name; all at once.
    """
    points, labels = _array(points, 'points'), _array(labels, 'labels')
    complete = classes is None
    if classes is None:
        count = int(labels.max()) + 1 if labels.size and labels.dtype.kind in 'iu' else 0
        classes = [str(label) for label in range(count)]
    problems = _checks.problems(points, labels, classes, complete)
    if len(set(classes)) < len(classes):
        problems.append('a class name occurs twice; expected a name of its own for every label')
    raise_all(problems, 'these arrays are no split of labelled clouds:')
    return Split(points.astype(np.float32), labels.astype(np.int32), tuple(classes))


def _array(values: ArrayLike, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UserError(
            f'{name} are no regular array ({error}); expected the same number of points in every '
            'cloud: subsample the clouds to one size'
        ) from None
