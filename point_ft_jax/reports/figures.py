"""What the figures of all reports look like."""

from matplotlib.axes import Axes


def plain(axes: Axes) -> None:
    """A light grid behind the data, and no frame at the top and at the right."""
    axes.grid(color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
