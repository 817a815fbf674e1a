"""What the figures of all reports look like."""

import pathlib
import warnings

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

# By Okabe and Ito; told apart by people with colour-vision deficiencies too.
BLUE, ORANGE, GREEN, PURPLE, GREY = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#666666'
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)


def clear_frame(axes: Axes) -> None:
    """A light grid behind the data, and no frame at the top and at the right."""
    axes.grid(color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def save(figure: Figure, path: pathlib.Path, dpi: int) -> None:
    """Writes a figure as a PNG file, its texts as they are.

    A name of a class may hold a $, which begins a formula otherwise, or letters that the font lacks
    and shows as boxes.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing from')
        # The version of matplotlib would be in the file otherwise.
        figure.savefig(path, dpi=dpi, metadata={'Software': None})
