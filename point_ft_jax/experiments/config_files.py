"""The files of configs/: what there is, and which one a command line means."""

import ast
import difflib
import pathlib
from collections.abc import Sequence

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
GIVEN = pathlib.Path(__file__).with_name('given_config.py')
FLAG = '--config'


def table() -> str:
    """The configs with the first line of each, a line each.

    Raises:
        UserError: there is no folder configs/, as in an installed package.
    """
    if not CONFIGS.is_dir():
        raise UserError('the configs lie in the folder configs/ of a clone; none is installed here')
    return plugins.aligned({p.stem: summary(p) for p in sorted(CONFIGS.glob('*.py'))})


def summary(path: pathlib.Path) -> str:
    """The first line of a config's docstring; the file is read, not run."""
    return docstring(path).split('\n')[0]


def docstring(path: pathlib.Path) -> str:
    """What a config says at its top; '' where it says nothing or is no Python."""
    try:
        return ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    except (OSError, SyntaxError, ValueError):
        return ''


def given(arguments: Sequence[str]) -> str | None:
    """The value of --config among arguments; None where it is not there."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f'{FLAG}='):
            return argument.removeprefix(f'{FLAG}=')
        if argument == FLAG and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def resolved(arguments: Sequence[str]) -> list[str]:
    """The arguments with a config that `given_config` loads, be it Python's or a run's JSON.

    Raises:
        UserError: a file that is not there, or neither Python nor JSON; it names what is nearest.
    """
    value = given(arguments)
    if value is None:
        return list(arguments)
    file = value.split(':')[0]
    path = pathlib.Path(file).expanduser()
    if not path.is_file() or path.suffix not in ('.py', '.json'):
        raise UserError(_unknown(file, path))
    kept = [a for i, a in enumerate(arguments) if not _is_flag(arguments, i)]
    return [*kept[:1], f'{FLAG}={GIVEN}:{path}{value.removeprefix(file)}', *kept[1:]]


def changes(arguments: Sequence[str]) -> dict[str, str]:
    """The fields that arguments set, by their dotted names, with the texts of their values."""
    found = {}
    for place, argument in enumerate(arguments):
        if argument.startswith(f'{FLAG}.'):
            name, equals, text = argument.removeprefix(f'{FLAG}.').partition('=')
            following = arguments[place + 1] if place + 1 < len(arguments) else ''
            found[name] = text if equals else following
    return found


def missing() -> str:
    """What a command that needs a config says without one."""
    return (
        'no config is given: python run.py --config=configs/NAME.py, with one of these; add --help '
        f'to see its variants and fields:\n{table()}'
    )


def _is_flag(arguments: Sequence[str], place: int) -> bool:
    """Whether an argument is --config, or its value."""
    return (
        arguments[place] == FLAG
        or arguments[place].startswith(f'{FLAG}=')
        or (place > 0 and arguments[place - 1] == FLAG)
    )


def _unknown(file: str, path: pathlib.Path) -> str:
    if path.is_dir() and (path / 'config.json').is_file():
        return f'{file} is the folder of a run; its config is {FLAG}={path / "config.json"}'
    names = [p.stem for p in sorted(CONFIGS.glob('*.py'))]
    nearest = difflib.get_close_matches(path.stem, names, 2, 0.5)
    meant = ' or '.join(f'{FLAG}=configs/{name}.py' for name in nearest)
    return (
        f'there is no config {file!r}{f"; did you mean {meant}?" if meant else ";"} '
        f'There are, in configs/:\n{table()}'
    )
