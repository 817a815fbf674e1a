"""Draws the rooms of the project and what they import of each other, from the files themselves.

point-ft draw_rooms docs/rooms.png
"""

import ast
import collections
import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from point_ft_jax.core import flags
from point_ft_jax.experiments import command_line

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = 'point_ft_jax'
# From the ground up; rooms of one row know nothing of each other.
FLOORS = (
    ('kernels',),
    ('core',),
    ('data', 'models'),
    ('methods', 'checkpoints', 'evaluation'),
    ('training',),
    ('weight_space', 'reports'),
    ('experiments',),
    ('commands',),
)
WIDTH, HEIGHT = 1.7, 0.5


def room_of(module: str) -> str | None:
    """The room of a module's dotted name; None for the front door and for other packages."""
    first, *rest = module.split('.')
    if first == 'kernels':
        return first
    rooms = {room for floor in FLOORS for room in floor}
    return rest[0] if first == PACKAGE and rest and rest[0] in rooms else None


def files(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """The files of the project's packages."""
    return sorted(p for folder in (PACKAGE, 'kernels') for p in (root / folder).rglob('*.py'))


def module_of(path: pathlib.Path, root: pathlib.Path = ROOT) -> str:
    """The dotted name of a file."""
    return '.'.join(path.relative_to(root).with_suffix('').parts)


def modules_named(path: pathlib.Path) -> set[str]:
    """The modules, and the names in them, that a file imports or writes as a string."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            inside = node.value.startswith((f'{PACKAGE}.', 'kernels.')) and ' ' not in node.value
            found |= {node.value} if inside else set()
    return found


def arrows(root: pathlib.Path = ROOT) -> dict[tuple[str, str], int]:
    """(room, room that it imports) -> how many of its files do."""
    counts: dict[tuple[str, str], int] = collections.Counter()
    for path in files(root):
        own = room_of(module_of(path, root))
        others = {room_of(module) for module in modules_named(path)} - {own, None}
        if own is not None and path.name != 'plugins.py':  # which names the packages of plug-ins
            counts.update((own, other) for other in others)
    return dict(counts)


def plot_rooms(counts: Mapping[tuple[str, str], int]) -> Figure:
    """The rooms, the lowest at the bottom, with an arrow to each room that one imports."""
    figure = Figure(figsize=(8, 7.5), layout='constrained')
    axes = figure.subplots()
    places = {
        room: (2.6 * (column - (len(floor) - 1) / 2), 1.3 * row)
        for row, floor in enumerate(FLOORS)
        for column, room in enumerate(floor)
    }
    for (own, other), count in counts.items():
        (x0, y0), (x1, y1) = places[own], places[other]
        up = y1 >= y0
        arrow = {
            'arrowstyle': '-|>',
            'color': '#D55E00' if up else '#7A8CA0',
            'linewidth': 0.5 + 0.12 * count**0.8,
            'alpha': 0.9,
            'shrinkA': 0,
            'shrinkB': 0,
            'connectionstyle': f'arc3,rad={0.16 if abs(y0 - y1) > 1.5 else 0}',
        }
        start, end = (x0, y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2)
        axes.annotate('', xy=end, xytext=start, arrowprops=arrow)
    for room, (x, y) in places.items():
        box = {'boxstyle': 'round,pad=0.45', 'facecolor': '#EEF2F6', 'edgecolor': '#44546A'}
        axes.text(x, y, room, ha='center', va='center', fontsize=11, bbox=box, zorder=3)
    axes.set(xlim=(-4.2, 4.2), ylim=(-0.6, 1.3 * (len(FLOORS) - 1) + 0.6))
    axes.set_axis_off()
    return figure


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = flags.parser('draw_rooms', __doc__)
    parser.add_argument('file', nargs='?', default='docs/rooms.png', help='where the figure goes')
    path = parser.parse_args(arguments).file
    command_line.check_target(path)
    counts = arrows()
    plot_rooms(counts).savefig(path, dpi=110, metadata={'Software': None})
    row = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    upward = [f'{a} imports {b}' for a, b in counts if row[b] >= row[a]]
    what = f'{len(counts)} arrows, {len(upward)} upward'
    print(command_line.written(path, what) + ''.join(f'\n{u}' for u in upward))
