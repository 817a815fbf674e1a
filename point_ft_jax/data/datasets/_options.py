"""What several readers share: the checks of their options, and files of a name a line."""

import pathlib
from collections.abc import Iterable

from point_ft_jax.core.errors import UserError, raise_all

SPLITS = ('train', 'test')


def check_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Raises a `UserError` that lists the choices if `value` is none of them."""
    if value not in choices:
        raise UserError(f'{option} is {value!r}; expected one of {", ".join(choices)}')


def check_folder_options(
    split: str,
    num_points: int | None,
    fewest: int,
    test_fraction: float,
    seed: int,
    nonfinite: str,
    unreadable: str,
) -> None:
    """Raises UserError for options of a folder of one's own that make no sense; all at once."""
    check_choice('split', split, SPLITS)
    check_choice('nonfinite', nonfinite, ('refuse', 'drop'))
    check_choice('unreadable', unreadable, ('refuse', 'skip'))
    problems = []
    if num_points is not None and num_points < 1:
        problems.append(f'num_points is {num_points}; expected 1 or more')
    if fewest < 0:
        problems.append(f'fewest is {fewest}; expected 0 or more')
    if not 0 < test_fraction < 1:
        problems.append(f'test_fraction is {test_fraction}; expected between 0 and 1')
    if seed < 0:
        problems.append(f'seed is {seed}; expected 0 or more')
    raise_all(problems, 'wrong options for a folder:')


def read_names(path: pathlib.Path) -> tuple[str, ...]:
    """The lines of a text file, without blanks around them and without empty ones.

    Raises:
        UserError: the file cannot be read as text.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no readable text file ({error})') from None
    return tuple(filter(None, map(str.strip, lines)))
