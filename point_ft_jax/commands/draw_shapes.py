"""Draws the contact sheet of the embedded shapes: `point-ft draw_shapes [FILE]`."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from point_ft_jax.data.datasets import shapes
from point_ft_jax.data.shapes.solids import turn

LOOKS = {
    'cad': {'style': 'cad'},
    **{variant: {'style': 'scan', 'variant': variant} for variant in shapes.VARIANTS},
}
# The background, then a class's parts in their order.
COLORS = np.array([to_rgb(c) for c in ('#8a8a8a', '#1f5fa8', '#e8710a', '#2b8a1e', '#c8102e')])
CAMERA = turn(0, 0.35) @ turn(1, -0.6)
BLOCKS = 3


def draw(path: str, number: int = 2, num_points: int = 1536) -> None:
    """Writes a picture of one object of each class in every style, coloured by part.

    Args:
        path: the PNG to write.
        number: which of each class's training objects, from 0.
        num_points: points in a cloud.
    """
    count = len(shapes.CLASSES)
    rows = count // BLOCKS
    size = {'num_points': num_points, 'train_size': count * (number + 1)}
    columns = len(LOOKS) * BLOCKS
    figure, axes = plt.subplots(rows, columns, figsize=(1.25 * columns, 1.35 * rows))
    for place, (look, options) in enumerate(LOOKS.items()):
        split = shapes.load('train', **options, **size).take(np.arange(-count, 0))
        for label, name in enumerate(shapes.CLASSES):
            row, column = label % rows, label // rows * len(LOOKS) + place
            _scatter(axes[row, column], split.points[label], split.part_labels[label], name)
            axes[row, column].set_ylabel(name if place == 0 else '')
            axes[row, column].set_title(look if row == 0 else '', fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=100, pil_kwargs={'optimize': True})
    plt.close(figure)


def _scatter(axis, points: np.ndarray, parts: np.ndarray, name: str) -> None:
    across, up, near = CAMERA @ points.T
    numbers = np.where(parts == shapes.BACKGROUND, 0, parts - shapes.part_ids(name)[0] + 1)
    # Far points fade, and near ones are drawn over them.
    haze = 0.6 * (near.max() - near) / np.ptp(near)
    colors = COLORS[numbers] * (1 - haze[:, None]) + haze[:, None]
    order = np.argsort(near)
    axis.scatter(across[order], up[order], s=2, c=colors[order], linewidths=0)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect='equal')
    axis.spines[:].set_visible(False)


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    draw(*arguments[:1] or ['docs/shapes.png'])
