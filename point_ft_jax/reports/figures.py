"""What the figures of all reports look like."""

from matplotlib.axes import Axes

# By Okabe and Ito; told apart by people with colour-vision deficiencies too.
BLUE, ORANGE, GREEN, PURPLE, GREY = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#666666'
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)


def clear_frame(axes: Axes) -> None:
    """A light grid behind the data, and no frame at the top and at the right."""
    axes.grid(color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
