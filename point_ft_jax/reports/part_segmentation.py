"""The sections of a report on a part segmenter: IoUs, and shapes with their parts."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.part_metrics import PartEvaluation
from point_ft_jax.reports import clouds, intervals, tables
from point_ft_jax.reports.clouds import View
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
COLUMNS = 3  # of pairs in a picture
FIELD = (3.7, 2.6)  # inches of a pair, with its title and its legend
POINTS = 2048  # of a shape that is shown, at most


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
        part_names: of each category, the names of its parts.
    """

    typical: Sequence[Shape]
    worst: Sequence[Shape]
    part_names: Sequence[Sequence[str]] = ()


def select_shapes(
    evaluation: PartEvaluation,
    points: np.ndarray,
    truth: np.ndarray,
    answers: np.ndarray,
    names: Sequence[str],
    parts: Sequence[Sequence[int]],
    part_names: Sequence[str],
) -> Gallery:
    """The gallery of test shapes [S, N, 3] with parts [S, N]; `names` may be empty.

    `parts` are those of each category, `part_names` the names of all parts.
    """

    def shape(index: int) -> Shape:
        category = int(evaluation.categories[index])
        ids = list(parts[category])
        place = np.zeros(1 + max(max(p) for p in parts), int)
        place[ids] = np.arange(len(ids))
        return Shape(
            name=names[index] if names else str(index),
            category=category,
            iou=float(evaluation.ious[index]),
            points=points[index, :POINTS, :3].astype(np.float32),
            truth=place[truth[index, :POINTS]],
            answer=place[answers[index, :POINTS]],
        )

    order = np.argsort(evaluation.ious, kind='stable')
    by_category = [order[evaluation.categories[order] == c] for c in range(len(parts))]
    return Gallery(
        typical=[shape(found[len(found) // 2]) for found in by_category if len(found)],
        worst=[shape(index) for index in order[:WORST]],
        part_names=[[part_names[part] for part in ids] for ids in parts],
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
    return select_shapes(evaluation, points, truth, found, test.names, test.parts, test.part_names)


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
    """What result.json holds besides the headline."""
    mious = np.mean([evaluation.by_category() for evaluation in chosen], axis=0)
    return {'miou_by_category': dict(zip(classes, mious, strict=True))}


def clouds_of(evaluation: PartEvaluation) -> int:
    """How many test clouds an evaluation is of."""
    return len(evaluation.ious)


def interval(chosen: Sequence[PartEvaluation]) -> tuple[tuple[float, float], str]:
    """The 95 % interval of the headline's mean over seeds, and what kind of interval it is."""
    return intervals.bootstrap(np.mean([e.ious for e in chosen], axis=0)), 'bootstrap over shapes'


def sections(
    classes: Sequence[str], chosen: Sequence[PartEvaluation], gallery: Gallery | None
) -> list[Section]:
    """The IoU of every category and, of a gallery, typical and worst shapes."""
    found = [Section('IoU by category', [Table(_category_rows(classes, chosen))])]
    if gallery is None:
        return found
    worst_rows = [
        {'Shape': s.name, 'Category': classes[s.category], 'IoU, %': f'{100 * s.iou:.2f}'}
        for s in gallery.worst
    ]
    typical = _picture('parts', classes, gallery, gallery.typical)
    worst = _picture('worst', classes, gallery, gallery.worst)
    return [
        *found,
        Section('Shapes', ['The shape of median IoU of each category.', typical]),
        Section('Worst shapes', [worst, Table(worst_rows)]),
    ]


def _picture(
    name: str, classes: Sequence[str], gallery: Gallery, shapes: Sequence[Shape]
) -> Picture:
    items = [
        (f'{shape.name}: {_title(classes, shape)}', _views(gallery, shape)) for shape in shapes
    ]
    caption = 'Truth on the left, answer on the right, with the IoU of the answer.'
    return Picture(name, plot_pairs(classes, gallery, shapes), caption, items)


def _title(classes: Sequence[str], shape: Shape) -> str:
    return f'{classes[shape.category]}, IoU {100 * shape.iou:.1f} %'


def _views(gallery: Gallery, shape: Shape) -> list[View]:
    """A shape as it is, and as it was segmented."""
    count = max(int(shape.truth.max()), int(shape.answer.max())) + 1
    names = [f'part {part}' for part in range(count)]
    if gallery.part_names:
        names = list(gallery.part_names[shape.category])
    return [
        View('truth', shape.points, shape.truth, names),
        View('answer', shape.points, shape.answer, names),
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


def plot_pairs(classes: Sequence[str], gallery: Gallery, shapes: Sequence[Shape]) -> Figure:
    """Every shape twice, coloured by part, as it is and as it was segmented; with its parts.

    Places are given: to solve for them, with legends in every field, is slow and ends now and then
    a pixel elsewhere.
    """
    columns = min(COLUMNS, len(shapes))
    rows = -(-len(shapes) // columns)
    figure = Figure(figsize=(FIELD[0] * columns, FIELD[1] * rows))
    for number, shape in enumerate(shapes):
        row, column = divmod(number, columns)
        left, bottom = column / columns, 1 - (row + 1) / rows
        views = _views(gallery, shape)
        for side, view in enumerate(views):
            place = (left + (0.02 + 0.49 * side) / columns, bottom + 0.2 / rows)
            axes = figure.add_axes((*place, 0.47 / columns, 0.63 / rows))
            clouds.draw(axes, view)
            axes.set_title(view.title, fontsize=8, color='#555555', pad=2)
        middle = left + 0.5 / columns
        title = _title(classes, shape)
        figure.text(middle, bottom + 0.985 / rows, title, ha='center', va='top', fontsize=9)
        handles = [
            Line2D([], [], marker='o', linestyle='', color=clouds.colour_of(part), label=name)
            for part, name in enumerate(views[0].legend)
        ]
        figure.legend(
            handles=handles,
            loc='upper center',
            bbox_to_anchor=(middle, bottom + 0.2 / rows),
            ncols=min(len(handles), 3),
            fontsize=7,
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.0,
        )
    return figure
