"""The order of the rooms: a room imports rooms below it only."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = 'point_ft_jax'
# From the ground up; rooms in one row know nothing of each other.
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
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(p for folder in (PACKAGE, 'kernels') for p in (ROOT / folder).rglob('*.py'))
# A file of these rooms is all that a part of the project may need of a library.
WITHOUT = {'reports': ('jax', 'flax', 'optax', 'ml_collections')}
CONFIG_ROOMS = ('experiments', 'commands')


def room_of(module: str) -> str | None:
    """The room of a module's name; None for the front door and for other packages."""
    first, *rest = module.split('.')
    if first == 'kernels':
        return first
    return rest[0] if first == PACKAGE and rest and rest[0] in FLOOR else None


def named(path: pathlib.Path) -> set[str]:
    """The modules that a file imports or names in a string."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            found |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
            if len(words) == 1 and words[0].startswith((f'{PACKAGE}.', 'kernels.')):
                found.add(words[0])
    return found


def upward(path: pathlib.Path) -> list[str]:
    """What a file names of rooms that are not below its own."""
    home = path.relative_to(ROOT).with_suffix('')
    own = room_of('.'.join(home.parts))
    if own is None or home == pathlib.Path(PACKAGE, 'core', 'plugins'):
        return []  # the front door may know all; plug-ins are found by the names of their packages
    return [
        f'{home} names {module}'
        for module in sorted(named(path))
        if (other := room_of(module)) not in (None, own) and FLOOR[other] >= FLOOR[own]
    ]


def test_imports_go_down_only() -> None:
    assert [line for path in FILES for line in upward(path)] == []


def test_a_name_with_an_underscore_stays_in_its_room() -> None:
    wrong = [
        f'{path.relative_to(ROOT)} names {module}'
        for path in FILES
        for module in named(path)
        if any(part.startswith('_') and part != '__main__' for part in module.split('.')[1:])
        and room_of(module) != room_of('.'.join(path.relative_to(ROOT).with_suffix('').parts))
    ]
    assert wrong == []


def test_below_experiments_nobody_knows_the_config() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in FILES
        if (room := room_of('.'.join(path.relative_to(ROOT).with_suffix('').parts)))
        and room not in CONFIG_ROOMS
        and any(module.split('.')[0] == 'ml_collections' for module in named(path))
    ]
    assert wrong == []


@pytest.mark.parametrize('room', WITHOUT)
def test_a_room_does_without_a_library(room: str) -> None:
    wrong = [
        f'{path.name} imports {module}'
        for path in (ROOT / PACKAGE / room).rglob('*.py')
        for module in named(path)
        if module.split('.')[0] in WITHOUT[room]
    ]
    assert wrong == []


def test_run_is_a_page() -> None:
    assert len((ROOT / 'run.py').read_text().splitlines()) <= 50


def test_no_file_is_too_long_to_have_one_noun() -> None:
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
