"""Scores of a classifier from its confusion matrix: fractions in 0..1, NaN where nothing counts."""

import dataclasses

import numpy as np

from point_ft_jax.core.errors import raise_all


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class was taken for each.

    Args:
        labels: [S] integers in 0..num_classes-1, the true classes.
        predictions: [S] integers in the same range.
        num_classes: C.

    Returns:
        [C, C] int64; row = true class, column = predicted class.

    Raises:
        UserError: different lengths, something else than integers, or values out of range.
    """
    labels, predictions = np.asarray(labels).ravel(), np.asarray(predictions).ravel()
    problems = [
        problem
        for name, values in (('labels', labels), ('predictions', predictions))
        for problem in _problems(name, values, num_classes)
    ]
    if len(labels) != len(predictions):
        problems.append(f'{len(labels)} labels but {len(predictions)} predictions')
    raise_all(problems, 'cannot compare labels with predictions:')
    pairs = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _problems(name: str, values: np.ndarray, num_classes: int) -> list[str]:
    if not len(values):
        return []
    if not np.issubdtype(values.dtype, np.integer):
        return [f'{name} are {values.dtype}; expected integers']
    if values.min() < 0 or values.max() >= num_classes:
        return [
            f'{name} lie in {values.min()}..{values.max()}; expected 0..{num_classes - 1} '
            f'for {num_classes} classes'
        ]
    return []


def overall_accuracy(confusion: np.ndarray) -> float:
    """The share of all clouds that was classified rightly, from a [C, C] confusion matrix."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float('nan')


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """The recall of every class, [C] float64; NaN for a class without clouds."""
    counts = confusion.sum(axis=1)
    recall = np.full(len(counts), np.nan)
    return np.divide(np.diag(confusion), counts, out=recall, where=counts > 0)


def mean_class_accuracy(confusion: np.ndarray) -> float:
    """The mean recall over the classes that have clouds (scikit-learn's balanced accuracy)."""
    recall = per_class_accuracy(confusion)
    present = ~np.isnan(recall)
    return float(recall[present].mean()) if present.any() else float('nan')


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The test set's [C, C] confusion matrix (row = true class) after an epoch, counted from 1."""

    epoch: int
    confusion: np.ndarray

    def scores(self) -> dict[str, float]:
        """The headline: over all clouds, and as mean over the classes."""
        return {
            'overall_accuracy': overall_accuracy(self.confusion),
            'mean_class_accuracy': mean_class_accuracy(self.confusion),
        }
