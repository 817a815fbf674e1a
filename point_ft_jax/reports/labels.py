"""Labels of points in a figure, placed so that none covers another."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from point_ft_jax.reports import figures

# Where a label may stand, in points from what it names: right, left, above, below, further out.
ANGLES = (25, 155, -25, -155, 90, -90, 0, 180)
RADII = (6.0, 12.0, 20.0, 30.0, 44.0, 62.0, 84.0)
FAR = 10.0  # points from which on a line leads from the label to its point


def place(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    size: float = 8,
    halo: bool = False,
) -> list[Annotation]:
    """Writes a text beside each point; each stands at the nearest place that no other one covers.

    The axes' limits must be final; the figure is laid out here. A `halo` of white sets a text off
    from dots below it.
    """
    with figures.any_letters(axes.figure):
        axes.figure.draw_without_rendering()
        return _place(axes, x, y, texts, size, halo)


def _place(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    size: float,
    halo: bool,
) -> list[Annotation]:
    figure = axes.figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    points = axes.transData.transform(np.column_stack([np.asarray(x, float), np.asarray(y, float)]))
    scale = figure.dpi / 72
    taken = [Bbox.from_extents(*(p - 2 * scale), *(p + 2 * scale)) for p in points]
    placed = []
    for x_, y_, text in zip(x, y, texts, strict=True):
        label = _label(axes, (x_, y_), text, size, halo)
        best = None
        for radius in RADII:
            for angle in np.deg2rad(ANGLES):
                _move(label, radius, angle)
                box = Annotation.get_window_extent(label, renderer)
                cost = sum(_overlap(box, other) for other in taken) + _outside(box, axes.bbox)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, radius, angle)
            if best[0] == 0:
                break
        _move(label, *best[1:])
        taken.append(label.get_window_extent(renderer))
        if best[1] > FAR:
            axes.annotate(
                '', (x_, y_), label.xyann, textcoords='offset points',
                arrowprops={'arrowstyle': '-', 'color': '#999999', 'linewidth': 0.5},
            )  # fmt: skip
        placed.append(label)
    return placed


def _label(axes: Axes, at: tuple[float, float], text: str, size: float, halo: bool) -> Annotation:
    label = axes.annotate(
        text, at, (0, 0), textcoords='offset points', fontsize=size, annotation_clip=False
    )
    label.set_parse_math(False)
    if halo:
        label.set_path_effects([withStroke(linewidth=2.2, foreground='white')])
    return label


def _move(label: Annotation, radius: float, angle: float) -> None:
    across, up = np.cos(angle), np.sin(angle)
    label.xyann = (radius * across, radius * up)
    label.set_horizontalalignment(
        'left' if across > 0.2 else 'right' if across < -0.2 else 'center'
    )
    label.set_verticalalignment('bottom' if up > 0.6 else 'top' if up < -0.6 else 'center')


def _overlap(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Bbox, frame: Bbox) -> float:
    """The area of a box that is outside the frame."""
    return max(box.width * box.height - _overlap(box, frame), 0.0)
