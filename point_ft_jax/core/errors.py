"""What a user is told: the one exception that a mistake ends in, and warnings."""

import inspect
import warnings
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """What a user can get wrong: a file, a shape, a value, a setting.

    The message says what was found, what was expected and what to do. Command lines print it
    without a traceback; library callers catch it as a `ValueError`.
    """


def raise_all(problems: Sequence[str], heading: str) -> None:
    """Raises one `UserError` with every problem on a line of its own; none, and nothing happens."""
    if problems:
        raise UserError('\n'.join([heading, *(f'  - {problem}' for problem in problems)]))


def warn(message: str) -> None:
    """Warns, with the line of the user's own code from which this package was called."""
    package = __name__.partition('.')[0]
    frame, level = inspect.currentframe(), 1
    while frame and frame.f_globals.get('__name__', '').partition('.')[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def some(items: Iterable, limit: int = 5) -> str:
    """'a, b, c, d, e and 7 more': the first `limit` of the items, and how many more there are."""
    items = [str(item) for item in items]
    rest = f' and {len(items) - limit:,} more' if len(items) > limit else ''
    return ', '.join(items[:limit]) + rest
