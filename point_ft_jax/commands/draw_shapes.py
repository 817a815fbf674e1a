"""Draws the contact sheets of the embedded shapes.

point-ft draw_shapes docs
    writes them to a folder, by default this one
"""

import pathlib
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from point_ft_jax.core import flags
from point_ft_jax.data.datasets import shapes
from point_ft_jax.data.shapes.solids import turn
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import command_line

LOOKS = {
    'cad': {'style': 'cad'},
    **{variant: {'style': 'scan', 'variant': variant} for variant in shapes.VARIANTS},
}
# The background, then a class's parts in their order.
COLORS = np.array([to_rgb(c) for c in ('#8a8a8a', '#1f5fa8', '#e8710a', '#2b8a1e', '#c8102e')])
CAMERA = turn(0, 0.35) @ turn(1, -0.6)
BLOCKS = 3
CAD_BLOCKS = 4
CAD_OBJECTS = 3
ASSEMBLIES = (6, 12)
POINTS = {'shapes': 1536, 'shapes40': 3072, 'assemblies': 2048}


def draw_styles(path: str, number: int = 2, num_points: int = POINTS['shapes']) -> None:
    """Writes a picture of one object of each of the 15 classes in every style, coloured by part.

    Args:
        path: the PNG to write.
        number: which of each class's training objects, from 0.
        num_points: points in a cloud.
    """
    names = shapes.CLASS_SETS['scan15'].names
    count = len(names)
    rows = count // BLOCKS
    size = {'num_points': num_points, 'train_size': count * (number + 1)}
    columns = len(LOOKS) * BLOCKS
    figure, axes = plt.subplots(rows, columns, figsize=(1.25 * columns, 1.35 * rows))
    for place, (look, options) in enumerate(LOOKS.items()):
        split = shapes.load('train', **options, **size).take(np.arange(-count, 0))
        for label, name in enumerate(names):
            axis = axes[label % rows, label // rows * len(LOOKS) + place]
            _scatter(axis, split, label)
            axis.set_ylabel(name if place == 0 else '')
            axis.set_title(look if label % rows == 0 else '', fontsize=9)
    _save(figure, path)


def draw_classes(path: str, number: int = 0, num_points: int = POINTS['shapes40']) -> None:
    """Writes a picture of `CAD_OBJECTS` objects of each of the 40 classes, complete, by part.

    Args:
        path: the PNG to write.
        number: which of each class's training objects come first, from 0.
        num_points: points in a cloud.
    """
    names = shapes.CLASS_SETS['cad40'].names
    rows, columns = len(names) // CAD_BLOCKS, CAD_BLOCKS * CAD_OBJECTS
    size = {'num_points': num_points, 'train_size': len(names) * (number + CAD_OBJECTS)}
    split = shapes.load('train', style='cad', classes='cad40', **size)
    figure, axes = plt.subplots(rows, columns, figsize=(1.05 * columns, 1.2 * rows))
    for label, name in enumerate(names):
        for place in range(CAD_OBJECTS):
            axis = axes[label // CAD_BLOCKS, label % CAD_BLOCKS * CAD_OBJECTS + place]
            _scatter(axis, split, label + len(names) * (number + place))
            axis.set_ylabel(name if place == 0 else '')
    _save(figure, path)


def draw_assemblies(path: str, number: int = 0, num_points: int = POINTS['assemblies']) -> None:
    """Writes a picture of the first assemblies from `number` on."""
    rows, columns = ASSEMBLIES
    count = rows * columns
    size = {'num_points': num_points, 'train_size': number + count}
    split = shapes.load('train', style='assemblies', **size)
    figure, axes = plt.subplots(rows, columns, figsize=(1.05 * columns, 1.1 * rows))
    for place, axis in enumerate(axes.flat):
        _scatter(axis, split, number + place)
    _save(figure, path)


SHEETS: dict[str, Callable[..., None]] = {
    'shapes': draw_styles,
    'shapes40': draw_classes,
    'assemblies': draw_assemblies,
}


def draw(folder: str, **options: int) -> list[pathlib.Path]:
    """The pictures of `SHEETS`, written into a folder by their names.

    Raises:
        UserError: there is no such folder.
    """
    files = [pathlib.Path(folder) / f'{name}.png' for name in SHEETS]
    for file in files:
        command_line.check_target(str(file))
    for file, draw_sheet in zip(files, SHEETS.values(), strict=True):
        draw_sheet(str(file), **options)
    return files


def _scatter(axis: plt.Axes, split: Split, number: int) -> None:
    """Draws a cloud of the split, its parts in colours."""
    across, up, near = CAMERA @ split.points[number].T
    colors = COLORS[_part_numbers(split, number)]
    # Far points fade, and near ones are drawn over them.
    haze = 0.6 * (near.max() - near) / np.ptp(near)
    colors = colors * (1 - haze[:, None]) + haze[:, None]
    order = np.argsort(near)
    axis.scatter(across[order], up[order], s=2, c=colors[order], linewidths=0)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect='equal')
    axis.spines[:].set_visible(False)


def _part_numbers(split: Split, number: int) -> np.ndarray:
    """[N], 0 for the background, from 1 for the parts of the class; 1 where parts are unknown."""
    if split.part_labels is None:
        return np.ones(split.points.shape[1], int)
    parts = split.part_labels[number]
    first = min(set(split.parts[split.labels[number]]) - {shapes.BACKGROUND})
    return np.where(parts == shapes.BACKGROUND, 0, parts - first + 1)


def _save(figure: plt.Figure, path: str) -> None:
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=100, pil_kwargs={'optimize': True})
    plt.close(figure)


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = flags.parser('draw_shapes', __doc__)
    parser.add_argument('folder', nargs='?', default='docs', help='where the pictures go')
    for file in draw(parser.parse_args(arguments).folder):
        print(command_line.written(file))
