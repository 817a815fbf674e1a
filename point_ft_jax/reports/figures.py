"""What the figures of all reports look like."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

# By Okabe and Ito; told apart by people with colour-vision deficiencies too.
BLUE, ORANGE, GREEN, PURPLE, GREY = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#666666'
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
# Fonts with letters that the first lacks, where they are installed.
FONTS = (
    'DejaVu Sans', 'Noto Sans CJK SC', 'Noto Sans CJK JP', 'Noto Sans SC', 'WenQuanYi Zen Hei',
    'PingFang SC', 'Microsoft YaHei', 'Arial Unicode MS', 'Noto Sans Arabic', 'Noto Sans Hebrew',
    'Noto Sans Devanagari',
)  # fmt: skip


def clear_frame(axes: Axes) -> None:
    """A light grid behind the data, and no frame at the top and at the right."""
    axes.grid(color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def whole_numbers(axis: Axis) -> None:
    """Ticks of an axis at whole numbers alone, if there is but one."""
    axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def plain_logarithm(axis: Axis) -> None:
    """A logarithmic axis with numbers as they are read: 0.2, 5, 20, not a power of ten."""
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high / max(low, 1e-300) < 3000 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_formatter(NullFormatter())


def at_most_100(axes: Axes) -> None:
    """A vertical axis of percentages from 0 to 100 at most, and room for a dot that lies there."""
    low, high = axes.get_ylim()
    ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(max(low, 0), min(high, 100))
    axes.set_yticks([tick for tick in ticks if 0 <= tick <= 100])
    room = 0.02 * (min(high, 100) - max(low, 0))
    axes.set_ylim(max(low, -room), min(high, 100 + room))


@contextlib.contextmanager
def any_letters(figure: Figure) -> Iterator[None]:
    """While this lasts, the texts of a figure are drawn as they are, without a warning.

    A name of a class may hold a $, which begins a formula otherwise, or letters that no installed
    font has and that are shown as boxes.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontfamily(_fonts())
    with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing from')
        yield


def png(figure: Figure, dpi: int) -> bytes:
    """A figure as a PNG file, its texts as they are."""
    buffer = io.BytesIO()
    with any_letters(figure):
        figure.savefig(buffer, dpi=dpi, format='png')
    # 256 colours are enough for any of these figures, at a third of the bytes.
    image = Image.open(buffer).convert('RGB')
    packed = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(packed, format='PNG', optimize=True)
    return packed.getvalue()


@functools.cache
def _fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [font for font in FONTS if font in installed] or ['sans-serif']
