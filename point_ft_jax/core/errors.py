"""The one exception that a user's mistake ends in."""

from collections.abc import Sequence


class UserError(ValueError):
    """What a user can get wrong: a file, a shape, a value, a setting.

    The message says what was found, what was expected and what to do. Command lines print it
    without a traceback; library callers catch it as a `ValueError`.
    """


def raise_all(problems: Sequence[str], heading: str) -> None:
    """Raises one `UserError` with every problem on a line of its own; none, and nothing happens."""
    if problems:
        raise UserError('\n'.join([heading, *(f'  - {problem}' for problem in problems)]))
