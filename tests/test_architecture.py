"""The order of the rooms: a room imports rooms below it only."""

import pathlib

import pytest

from point_ft_jax.commands.draw_rooms import FLOORS, PACKAGE, ROOT, files, modules_named, room_of
from point_ft_jax.commands.draw_rooms import module_of as module_name

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = files()
WITHOUT = {'reports': ('jax', 'flax', 'optax', 'ml_collections')}  # what a room does without
CONFIG_ROOMS = ('experiments', 'commands')


def test_the_order_is_that_of_the_design() -> None:
    assert FLOORS == (
        ('kernels',),
        ('core',),
        ('data', 'models'),
        ('methods', 'checkpoints', 'evaluation'),
        ('training',),
        ('weight_space', 'reports'),
        ('experiments',),
        ('commands',),
    )
    folders = {p.parent.name for p in FILES if p.parent.parent == ROOT / PACKAGE}
    assert folders | {'kernels'} == set(FLOOR)


def home(path: pathlib.Path) -> str | None:
    """The room of a file."""
    return room_of(module_name(path))


def upward(path: pathlib.Path) -> list[str]:
    """What a file names of rooms that are not below its own."""
    own, name = home(path), module_name(path)
    if own is None or name == f'{PACKAGE}.core.plugins':
        return []  # the front door may know all; plug-ins are found by the names of their packages
    return [
        f'{name} names {module}'
        for module in sorted(modules_named(path))
        if (other := room_of(module)) not in (None, own) and FLOOR[other] >= FLOOR[own]
    ]


def test_imports_go_down_only() -> None:
    assert [line for path in FILES for line in upward(path)] == []


def test_a_name_with_an_underscore_stays_in_its_room() -> None:
    wrong = [
        f'{path.relative_to(ROOT)} names {module}'
        for path in FILES
        for module in modules_named(path)
        if any(part.startswith('_') and part != '__main__' for part in module.split('.')[1:])
        and room_of(module) != home(path)
    ]
    assert wrong == []


def test_below_experiments_nobody_knows_the_config() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in FILES
        if home(path) not in (None, *CONFIG_ROOMS)
        and any(module.split('.')[0] == 'ml_collections' for module in modules_named(path))
    ]
    assert wrong == []


@pytest.mark.parametrize('room', WITHOUT)
def test_a_room_does_without_a_library(room: str) -> None:
    wrong = [
        f'{path.name} imports {module}'
        for path in (ROOT / PACKAGE / room).rglob('*.py')
        for module in modules_named(path)
        if module.split('.')[0] in WITHOUT[room]
    ]
    assert wrong == []


def test_run_is_a_page() -> None:
    assert len((ROOT / 'run.py').read_text().splitlines()) <= 50


def test_no_file_is_too_long_to_have_one_noun() -> None:
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
