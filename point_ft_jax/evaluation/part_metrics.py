"""Scores of part segmentation, as the tables of ShapeNetPart define them: fractions in 0..1.

The IoU of a part in a shape is |truth and answer| / |truth or answer| over its points, and 1 where
neither has a point of it. A shape's IoU is the mean over all parts of its category.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from point_ft_jax.evaluation import metrics

Parts = Sequence[Sequence[int]]  # the part ids of each category


def shape_ious(
    truth: np.ndarray, answers: np.ndarray, categories: np.ndarray, parts: Parts
) -> np.ndarray:
    """[S] float64, the IoU of every shape.

    Args:
        truth, answers: [S, N] part ids.
        categories: [S], the shapes' categories.
        parts: the part ids of each category.
    """
    ious = np.zeros(len(truth))
    for shape, category in enumerate(categories):
        ids = np.asarray(parts[category]).reshape(-1, 1)
        found, true = answers[shape] == ids, truth[shape] == ids
        both, either = (found & true).sum(1), (found | true).sum(1)
        ious[shape] = np.where(either == 0, 1.0, both / np.maximum(either, 1)).mean()
    return ious


def category_mious(ious: np.ndarray, categories: np.ndarray, count: int) -> np.ndarray:
    """[C] float64, the mean IoU over each category's shapes; NaN for a category without shapes."""
    shapes = np.bincount(categories, minlength=count)
    sums = np.bincount(categories, weights=ious, minlength=count)
    return np.divide(sums, shapes, out=np.full(count, np.nan), where=shapes > 0)


@dataclasses.dataclass(frozen=True)
class PartEvaluation:
    """A test set's segmentation after an epoch, counted from 1.

    Attributes:
        epoch: which.
        ious: [S], the IoU of every shape.
        categories: [S], the shapes' categories.
        num_categories: C.
        confusion: [P, P] over all points, row = true part.
    """

    epoch: int
    ious: np.ndarray
    categories: np.ndarray
    num_categories: int
    confusion: np.ndarray

    def by_category(self) -> np.ndarray:
        """[C], see `category_mious`."""
        return category_mious(self.ious, self.categories, self.num_categories)

    def scores(self) -> dict[str, float]:
        """The means over shapes, over categories, over points and over parts; NaN without shapes.

        Categories without shapes, and parts without points, do not count.
        """
        by_category = self.by_category()
        present = ~np.isnan(by_category)
        return {
            'instance_miou': float(self.ious.mean()) if len(self.ious) else float('nan'),
            'class_miou': float(by_category[present].mean()) if present.any() else float('nan'),
            'point_accuracy': metrics.overall_accuracy(self.confusion),
            'mean_part_accuracy': metrics.mean_class_accuracy(self.confusion),
        }
