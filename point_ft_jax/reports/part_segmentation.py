"""The sections of a report on a part segmenter: IoUs, and shapes with their parts."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.part_metrics import PartEvaluation
from point_ft_jax.reports import tables
from point_ft_jax.reports.report import Picture, Section, Table

TITLE = 'Scores on the test set'
SCORES = {
    'instance_miou': 'Instance mIoU, %',
    'class_miou': 'Class mIoU, %',
    'point_accuracy': 'Point accuracy, %',
    'mean_part_accuracy': 'Mean part accuracy, %',
}
HEADLINE = ('instance_miou', 'instance mIoU %')  # what several models are compared by
WORST = 8  # shapes
COLUMNS = 4  # of pairs in a picture
PALETTE = np.array(colormaps['tab10'].colors)
TURN, TILT = -0.6, 0.35  # of the view, about y and then x


@dataclasses.dataclass(frozen=True)
class Shape:
    """A test shape.

    Attributes:
        name: its own, or its number.
        category: by number.
        iou: of the answer.
        points: [N, 3].
        truth, answer: [N] parts, counted from 0 in its category.
    """

    name: str
    category: int
    iou: float
    points: np.ndarray
    truth: np.ndarray
    answer: np.ndarray


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The shapes that a report shows, of the first seed.

    Attributes:
        typical: of each category that has shapes, the one of median IoU.
        worst: those of the lowest IoU, the worst first.
    """

    typical: Sequence[Shape]
    worst: Sequence[Shape]


def select_shapes(
    evaluation: PartEvaluation,
    points: np.ndarray,
    truth: np.ndarray,
    answers: np.ndarray,
    names: Sequence[str],
    parts: Sequence[Sequence[int]],
) -> Gallery:
    """The gallery of test shapes [S, N, 3] with parts [S, N]; `names` may be empty."""

    def shape(index: int) -> Shape:
        category = int(evaluation.categories[index])
        ids = list(parts[category])
        place = np.zeros(1 + max(max(p) for p in parts), int)
        place[ids] = np.arange(len(ids))
        return Shape(
            name=names[index] if names else str(index),
            category=category,
            iou=float(evaluation.ious[index]),
            points=points[index],
            truth=place[truth[index]],
            answer=place[answers[index]],
        )

    order = np.argsort(evaluation.ious, kind='stable')
    by_category = [order[evaluation.categories[order] == c] for c in range(len(parts))]
    return Gallery(
        typical=[shape(found[len(found) // 2]) for found in by_category if len(found)],
        worst=[shape(index) for index in order[:WORST]],
    )


def gallery(
    evaluation: PartEvaluation, test: Split, outputs: Callable[[], tuple[np.ndarray, Any, Any]]
) -> Gallery:
    """The shapes that a report shows.

    Args:
        evaluation: of the best epoch.
        test: the test split.
        outputs: computes its points [S, N, 3], the answers and the targets; see `Task`.
    """
    points, answers, targets = outputs()
    truth, found = targets['part'], answers['part']
    return select_shapes(evaluation, points, truth, found, test.names, test.parts)


def class_rows(evaluation: PartEvaluation, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each category: its test clouds and their mean IoU."""
    counts = np.bincount(evaluation.categories, minlength=len(classes))
    mious = evaluation.by_category()
    return [
        {'class': name, 'clouds': int(count), 'IoU %': f'{100 * value:.2f}'}
        for name, count, value in zip(classes, counts, mious, strict=False)
    ]


def problems(evaluation: PartEvaluation, classes: Sequence[str]) -> list[str]:
    """What is wrong with an evaluation."""
    if evaluation.num_categories == len(classes):
        return []
    return [f'{evaluation.num_categories} categories; expected {len(classes)}, the class names']


def summary(classes: Sequence[str], chosen: Sequence[PartEvaluation]) -> dict[str, Any]:
    """What result.json holds beside the headline."""
    mious = np.mean([evaluation.by_category() for evaluation in chosen], axis=0)
    return {'miou_by_category': dict(zip(classes, mious, strict=True))}


def sections(
    classes: Sequence[str], chosen: Sequence[PartEvaluation], gallery: Gallery | None
) -> list[Section]:
    """The IoU of every category and, of a gallery, typical and worst shapes."""
    found = [Section('IoU by category', [Table(_category_rows(classes, chosen))])]
    if gallery is None:
        return found
    typical = 'The shape of median IoU of each category: truth on the left, answer on the right.'
    worst_rows = [
        {'Shape': s.name, 'Category': classes[s.category], 'IoU, %': f'{100 * s.iou:.2f}'}
        for s in gallery.worst
    ]
    worst = 'Truth on the left, answer on the right.'
    return [
        *found,
        Section('Shapes', [Picture('parts', plot_pairs(classes, gallery.typical), typical)]),
        Section(
            'Worst shapes',
            [Picture('worst', plot_pairs(classes, gallery.worst), worst), Table(worst_rows)],
        ),
    ]


def _category_rows(
    classes: Sequence[str], chosen: Sequence[PartEvaluation]
) -> list[dict[str, Any]]:
    first = chosen[0]
    shapes = np.bincount(first.categories, minlength=len(classes))
    mious = np.array([evaluation.by_category() for evaluation in chosen])
    worst = [first.ious[first.categories == c].min(initial=1.0) for c in range(len(classes))]
    return [
        {
            'Category': name,
            'Test shapes': shapes[i],
            'Mean IoU, %': tables.percent(mious[:, i]),
            'Worst shape, %': f'{100 * worst[i]:.2f}' if shapes[i] else None,
        }
        for i, name in enumerate(classes)
    ]


def plot_pairs(classes: Sequence[str], shapes: Sequence[Shape]) -> Figure:
    """Every shape twice, coloured by part: as it is, and as it was segmented."""
    columns = min(COLUMNS, len(shapes))
    rows = -(-len(shapes) // columns)
    figure = Figure(figsize=(2.9 * columns, 1.75 * rows), layout='constrained')
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        pair = grid[row, 2 * column : 2 * column + 2]
        if number >= len(shapes):
            for axes in pair:
                axes.remove()
            continue
        shape = shapes[number]
        for axes, parts in zip(pair, (shape.truth, shape.answer), strict=True):
            _scatter(axes, shape.points, parts)
        pair[0].set_title(classes[shape.category], fontsize=8, loc='left')
        pair[1].set_title(f'{100 * shape.iou:.1f} %', fontsize=8, loc='right')
    return figure


def _scatter(axes: Axes, points: np.ndarray, parts: np.ndarray) -> None:
    """The points from the front, above and to the side, y up; far ones paler and behind."""
    cos, sin = np.cos((TURN, TILT)), np.sin((TURN, TILT))
    x, y, z = (points - points.mean(axis=0)).T
    across, near = cos[0] * x + sin[0] * z, cos[0] * z - sin[0] * x
    up, near = cos[1] * y - sin[1] * near, sin[1] * y + cos[1] * near
    haze = 0.5 * (near.max() - near) / max(np.ptp(near), 1e-9)
    colours = PALETTE[parts % len(PALETTE)] * (1 - haze[:, None]) + haze[:, None]
    order = np.argsort(near, kind='stable')
    axes.scatter(across[order], up[order], s=1.5, c=colours[order], linewidths=0)
    radius = 1.05 * max(np.abs(across).max(), np.abs(up).max(), 1e-9)
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius), xticks=[], yticks=[], aspect='equal')
    axes.spines[:].set_visible(False)
