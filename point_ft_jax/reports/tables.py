"""Aligned tables, as Markdown for reports and as plain text for commands."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# 1,087,771 | -0.5 | 1.2e-05 | 84.1 ± 0.3 | 12.5 % | 3 MiB
_NUMBER = r'[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?'
_NUMERIC = re.compile(rf'{_NUMBER}( ± {_NUMBER})?( \S+)?')


def markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A GitHub-flavoured Markdown table, aligned in its source too.

    Args:
        rows: one mapping from column to value per row; a missing value or None is left empty.
        columns: which columns, in order; by default all, in the order they first appear in.

    Returns:
        The lines of the table without a newline at the end; '' without any columns. Integers get
        thousands separators, floats four significant digits; columns of numbers, or of strings that
        read as numbers, with a deviation or a unit perhaps, are aligned on the right.
    """
    header, body, right = cells(rows, columns)
    if not header:
        return ''
    header = [_escape(cell) for cell in header]
    body = [[_escape(cell) for cell in row] for row in body]
    widths = [max(3, *map(len, column)) for column in zip(header, *body, strict=True)]
    rule = ['-' * (w - 1) + ':' if r else '-' * w for w, r in zip(widths, right, strict=True)]
    return '\n'.join(
        f'| {" | ".join(_align(row, widths, right))} |' for row in (header, rule, *body)
    )


def text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """The table of `markdown` for a terminal: columns two blanks apart, the header underlined."""
    header, body, right = cells(rows, columns)
    if not header:
        return ''
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    lines = [header, ['-' * width for width in widths], *body]
    return '\n'.join('  '.join(_align(row, widths, right)).rstrip() for row in lines)


def percent(values: Sequence[float]) -> str | None:
    """Fractions as '84.12', or '84.12 ± 0.53' for several; None without a number."""
    mean = np.mean(values)
    if np.isnan(mean):
        return None
    return f'{100 * mean:.2f}' + (
        f' ± {100 * np.std(values, ddof=1):.2f}' if len(values) > 1 else ''
    )


def cells(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None
) -> tuple[list[str], list[list[str]], list[bool]]:
    """The header, the cells of every row as texts, and which columns are aligned on the right."""
    header = list(
        dict.fromkeys(name for row in rows for name in row) if columns is None else columns
    )
    body = [[_format(row.get(name)) for name in header] for row in rows]
    right = [_is_numeric([row[i] for row in body]) for i in range(len(header))]
    return header, body, right


def _format(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, bool | np.bool_):
        return 'yes' if value else 'no'
    if isinstance(value, int | np.integer):
        return f'{value:,}'
    if isinstance(value, float | np.floating):
        return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return str(value)


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ('', 'nan', 'inf', '-inf')]
    return bool(filled) and all(_NUMERIC.fullmatch(cell) for cell in filled)


def _align(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    return [
        cell.rjust(width) if on_the_right else cell.ljust(width)
        for cell, width, on_the_right in zip(cells, widths, right, strict=True)
    ]


def _escape(cell: str) -> str:
    """A cell as it is read: what Markdown, a formula or HTML would begin with is no more that."""
    cell = cell.replace('\\', '\\\\').replace('<', '&lt;').replace('\n', '<br>')
    return re.sub(r'([|$*`])', r'\\\1', cell)
