"""Point clouds in reports: how a picture shows them, and what a page needs to turn them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

TURN, TILT = -0.6, 0.35  # of the view, about y and then x
HAZE = 0.55  # how much paler the farthest points are
# Of parts, in their order: dark enough on white, told apart by people with colour-vision
# deficiencies as far as so many can be.
PALETTE = (
    '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#8B6914', '#56B4E9', '#222222', '#B22222',
    '#6A3D9A', '#7F9F00',
)  # fmt: skip
PLAIN = '#1B4F8A'  # of a cloud without parts
CELL = 1.9  # inches of a picture for each cloud
DOTS = 5200.0  # points^2 that the dots of a cloud share


@dataclasses.dataclass(frozen=True)
class View:
    """A cloud to look at.

    Attributes:
        title: what stands above it.
        points: [N, 3], y up; rows with a NaN are not drawn.
        parts: [N] places in `legend`, or None for a cloud of one colour.
        legend: the names of the parts, each with the colour of its place in PALETTE.
    """

    title: str
    points: np.ndarray
    parts: np.ndarray | None = None
    legend: Sequence[str] = ()


def colour_of(part: int) -> str:
    """The colour of a part, by its place in the legend."""
    return PALETTE[part % len(PALETTE)]


def colours(view: View) -> np.ndarray:
    """[N, 3]: the colour of every point, 0..1."""
    if view.parts is None:
        return np.tile(to_rgb(PLAIN), (len(view.points), 1))
    return np.array([to_rgb(colour) for colour in PALETTE])[np.asarray(view.parts) % len(PALETTE)]


def project(points: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [N, 3] from the front, above and to the side: across, up, and how near, each [N]."""
    cos, sin = np.cos((TURN, TILT)), np.sin((TURN, TILT))
    x, y, z = (points - middle).T
    across, near = cos[0] * x + sin[0] * z, cos[0] * z - sin[0] * x
    return across, cos[1] * y - sin[1] * near, sin[1] * y + cos[1] * near


def draw(axes: Axes, view: View, frame: np.ndarray | None = None) -> None:
    """A cloud, y up; far points are paler and behind. `frame` [M, 3] has the extent, if given."""
    axes.set(xticks=[], yticks=[], aspect='equal')
    axes.spines[:].set_visible(False)
    known = np.isfinite(view.points).all(axis=1)
    if not known.any():
        return
    points = view.points[known, :3]
    extent = points if frame is None else frame[:, :3]
    middle = extent.mean(axis=0)
    across, up, near = project(points, middle)
    haze = HAZE * (near.max() - near) / max(np.ptp(near), 1e-9)
    shaded = colours(view)[known] * (1 - haze[:, None]) + haze[:, None]
    order = np.argsort(near, kind='stable')
    size = min(max(DOTS / len(extent), 2.5), 14.0)
    axes.scatter(across[order], up[order], s=size, c=shaded[order], linewidths=0)
    radius = 1.05 * max(*(np.abs(side).max() for side in project(extent, middle)[:2]), 1e-9)
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius))


def plot_grid(views: Sequence[View], columns: int) -> Figure:
    """The clouds in rows of `columns`, each below its title."""
    columns = max(min(columns, len(views)), 1)
    rows = max(-(-len(views) // columns), 1)
    lines = max((view.title.count('\n') for view in views), default=0) + 1
    height = CELL * 0.92 + 0.16 * lines
    figure = Figure(figsize=(CELL * columns, height * rows + 0.1), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, view in zip(grid, views, strict=False):
        draw(axes, view)
        axes.set_title(view.title, fontsize=8)
    for axes in grid[len(views) :]:
        axes.remove()
    return figure
