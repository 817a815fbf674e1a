"""The one exception that a user's mistake ends in."""

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


def some(items: Iterable, limit: int = 5) -> str:
    """'a, b, c, d, e and 7 more': the first `limit` of the items, and how many more there are."""
    items = [str(item) for item in items]
    rest = f' and {len(items) - limit:,} more' if len(items) > limit else ''
    return ', '.join(items[:limit]) + rest
