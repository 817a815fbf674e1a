"""Tables of numbers in text files, with or without a header that names the columns."""

import pathlib
import warnings
from collections.abc import Callable

import numpy as np

from point_ft_jax.core.errors import UserError


def table(path: pathlib.Path, pick: Callable[[list[str]], list[int]]) -> np.ndarray:
    """A text file's table [N, C] float64: all of it, or the columns that `pick` takes of a header.

    Raises:
        UserError: no text, no table of numbers, or a header without x, y, z.
    """
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError:
        raise UserError('no text file: it holds bytes that are no UTF-8') from None
    lines = [line for line in map(str.strip, lines) if line and not line.startswith(('#', '//'))]
    if not lines:
        raise UserError('no points in it')
    separator = next((s for s in ';,' if s in lines[0]), None)
    head = [word.strip().strip('"').lower() for word in lines[0].split(separator)]
    columns = None
    if not _is_number(head[0]):
        if not {'x', 'y', 'z'} <= set(head):
            raise UserError(f'header {lines[0]!r} names no x, y, z; name them or remove the header')
        columns, lines = pick(head), lines[1:]
    elif head == [str(len(lines) - 1)]:
        lines = lines[1:]
    return _table(lines, separator, columns)


def _table(lines: list[str], separator: str | None, columns: list[int] | None) -> np.ndarray:
    with warnings.catch_warnings(action='ignore', category=UserWarning):  # no rows: checked after
        try:
            return np.loadtxt(lines, delimiter=separator, usecols=columns, ndmin=2, comments=None)
        except ValueError as error:
            raise UserError(f'no table of numbers: {error}') from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
