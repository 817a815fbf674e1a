"""Tables of numbers in text files, whose columns may have names.

The numbers are parsed by numpy and quoted fields by csv. pandas would be the heaviest package of
all, and it guesses: a header one name short moves every name by a column without a word. Here a
file that can be read in two ways is refused, and its first two lines are shown.
"""

import codecs
import csv
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import numbers

AXES = ('x', 'y', 'z')
REMARKS = ('#', '//', '%')  # what a line begins with that is no row
SEPARATORS = (';', '\t', ',', '|')  # in their order of trust; else blanks
PLACE = r'(?:points?|pos|position|coords?|coordinates?|location|vertex)'
ALIASES = (  # what exporters call an axis: Points:0, pos_x, x_coord
    re.compile(rf'{PLACE}[\s_:.-]*([xyz])'),
    re.compile(r'points?[_:]([012])'),
    re.compile(rf'([xyz])[\s_.-]*(?:{PLACE}|m|mm|cm)'),
)

SEPARATOR_LINE = re.compile('"?sep=.?"?', re.IGNORECASE)  # a first line for spreadsheets

Pick = Callable[[list[str]], list[int]]


def table(path: pathlib.Path, pick: Pick, leave_words: bool = False) -> np.ndarray:
    """A text file's table [N, C] float64: all of it or, with a header, the columns that are picked.

    A header is a line of names before the rows, or a remark (#, // or %) with a name for every
    column. Names come to `pick` without quotes and units, in lower case, the axes as x, y, z.

    Args:
        path: the file; UTF-8 or, with a byte order mark, UTF-16.
        pick: from the names, each axis once among them, to the columns that are wanted.
        leave_words: whether columns of words behind x, y, z are left out, where columns have no
            names; else they are refused.

    Raises:
        UserError: no text, no table of numbers, a header without x, y, z, or a table that can be
            read in two ways.
    """
    lines, remarks = _lines(path)
    if not lines:
        raise UserError('no points in it')
    if SEPARATOR_LINE.fullmatch(lines[0]):
        lines = lines[1:]
    shown = '\n'.join(f'    {line[:100]}' for line in lines[:2])
    lines, count = _without_count(lines)
    head = _split([lines[0]], _separator(lines[0]))[0] if lines else []
    are_numbers = [*map(numbers.is_number, head)]
    named = not all(are_numbers[:3] if leave_words else are_numbers)
    body = lines[1:] if named else lines
    if not body:
        raise UserError('no points in it')
    separator = _separator(body[0])
    rows, width, empty = _rows(body, separator)
    if count is not None and count != len(body):
        raise UserError(f'its first line says {count:,} points, and {len(body):,} rows follow')
    if named:
        names = _header(head, rows, width, empty, lines[0], shown)
    else:
        names = _remarked(remarks, width, shown)
        counted = [word for word, is_one in zip(head, are_numbers, strict=True) if is_one]
        if names is None and _counted(counted) is not None:
            names, rows = _numbered(counted, rows, shown)
    columns = None if names is None else pick(names)
    if names is None and not all(are_numbers):
        columns = [index for index, is_one in enumerate(are_numbers) if is_one]
    found = _numbers(rows, separator, columns)
    if names is None and found.shape[1] > 3 and (what := _doubt(found)):
        raise _ambiguous(what, shown)
    return found


def _lines(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """The lines that are rows or a header, and the remarks before them, without their marks."""
    content = path.read_bytes()
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = 'utf-16' if content.startswith(marks) else 'utf-8-sig'
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # Remarks and names in an older encoding: the numbers are ASCII in all of them.
        text = content.decode('latin1') if encoding == 'utf-8-sig' else '\0'
    if re.search('[\0-\x08\x0e-\x19]', text):
        raise UserError('no text file: it holds bytes that are no text')
    lines, remarks = [], []
    for line in re.split('\r\n|\r|\n', text.rstrip('\x1a')):  # a mark of DOS for the end
        line = line.strip(' \f\v')
        if line.startswith(REMARKS) and not numbers.is_number(re.split(r'[\s;,|]', line)[0]):
            if not lines:
                remarks.append(line.lstrip('#/% \t'))
        elif line.strip():
            lines.append(line)
    return lines, remarks


def _without_count(lines: list[str]) -> tuple[list[str], int | None]:
    """The lines without a first one that is a number of points, and that number."""
    several = len(lines) > 1 and len(re.split(r'[\s;,|]+', lines[1].strip())) > 1
    if several and re.fullmatch(r'\d+', lines[0].strip()):
        return lines[1:], int(lines[0])
    return lines, None


def _separator(line: str) -> str | None:
    found = next((s for s in SEPARATORS if s in line), None)
    blanks = found == '\t' and '\t\t' not in line and all(map(numbers.is_number, line.split()))
    return None if blanks and line == line.strip() else found


def _split(lines: Sequence[str], separator: str | None) -> list[list[str]]:
    """The fields of each line; quotes may hold separators."""
    if any('"' in line for line in lines):
        reader = csv.reader(
            map(str.strip, lines), delimiter=separator or ' ', skipinitialspace=True
        )
        return [[field.strip() for field in row] for row in reader]
    return [[field.strip() for field in line.split(separator)] for line in lines]


def _rows(body: list[str], separator: str | None) -> tuple[list[str] | list[list[str]], int, int]:
    """The rows, split where they have quotes; the fields of each; 1 if an empty one follows."""
    if any('"' in line for line in body):
        rows = _split(body, separator)
        widths = np.array(list(map(len, rows)))
        last = [row[-1] for row in rows]
    elif separator is None:
        rows, last = body, ['-']
        widths = np.array([len(line.split()) for line in body])
    else:
        rows, last = body, [line.rpartition(separator)[2].strip() for line in body]
        widths = np.array([line.count(separator) + 1 for line in body])
    wrong = np.flatnonzero(widths != widths[0])
    if len(wrong):
        raise UserError(
            f'no table of numbers: row {wrong[0] + 1} has {widths[wrong[0]]} columns, the first '
            f'row {widths[0]}'
        )
    empty = int(not any(last))
    return rows, int(widths[0]) - empty, empty


def _header(
    head: list[str],
    rows: list[str] | list[list[str]],
    width: int,
    empty: int,
    line: str,
    shown: str,
) -> list[str]:
    """The names of all columns, from a line of names; '' for a column of row names."""
    names = _names(head)
    if names is None:
        raise UserError(
            f'header {line[:200]!r} names no x, y, z, each once; name them or remove the header'
            + _hint(line, ';')
        )
    while len(names) > width and not names[-1]:
        names.pop()
    if len(names) == width - 1 and _are_row_names(rows):
        return ['', *names]
    if len(names) not in (width, width + empty):
        raise _ambiguous(f'its header has {len(names)} names and its rows {width} columns', shown)
    return names


def _remarked(remarks: list[str], width: int, shown: str) -> list[str] | None:
    """The names of all columns from the last remark that names x, y, z; None without one."""
    for remark in reversed(remarks):
        words = _split([remark], _separator(remark))[0]
        names = _names(words[-width:])
        before = words[:-width]
        if names is not None and len(names) == width and (not before or before[-1][-1:] in ':='):
            return names
        names = _names(words)
        if names is not None and names[:3] != list(AXES):
            raise _ambiguous(f'a remark names {len(names)} columns, of {width}: {remark!r}', shown)
    return None


def _names(words: Sequence[str]) -> list[str] | None:
    """The words as names of columns; None if an axis is not among them, or twice."""
    plain = [re.sub(r'\s*[(\[].*[)\]]$', '', word.strip('"\' \t').lower()) for word in words]
    for names in (plain, [_axis(name) for name in plain]):
        if all(names.count(axis) == 1 for axis in AXES):
            return names
    return None


def _axis(name: str) -> str:
    found = next((m for pattern in ALIASES if (m := pattern.fullmatch(name))), None)
    return name if found is None else found[1].translate({48: 'x', 49: 'y', 50: 'z'})


def _counted(head: Sequence[str]) -> int | None:
    """What a first row of numbers counts from, 0 or 1, if it may be a header; else None."""
    words = head[1:] if head and not head[0] else head
    for start in (0, 1):
        if len(words) >= 3 and [*map(_number, words)] == [*range(start, start + len(words))]:
            return start
    return None


def _numbered(
    head: list[str], rows: list[str] | list[list[str]], shown: str
) -> tuple[list[str] | None, list[str] | list[list[str]]]:
    """The names and the rows of a table whose first row counts 0, 1, 2, ... or 1, 2, 3, ..."""
    if not head[0] and _are_row_names(rows[1:]):  # pandas: an index, and columns without names
        return ['', *AXES, *map(str, range(4, len(head)))], rows[1:]
    whole = not any(re.search(r'\d[.eE]|\.\d', _joined(row)) for row in rows)
    if not head[0] or _counted(head) == 0 or not whole:
        raise _ambiguous('its first line counts: it can be a header or a point', shown)
    return None, rows


def _joined(row: str | list[str]) -> str:
    return row if isinstance(row, str) else ' '.join(row)


def _are_row_names(rows: list[str] | list[list[str]]) -> bool:
    """Whether the first field of each row is no coordinate: a word, quoted, or a running number."""
    if not rows:
        return False
    separator = _separator(rows[0]) if isinstance(rows[0], str) else None
    first = [row.split(separator)[0] if isinstance(row, str) else row[0] for row in rows]
    if not any(map(numbers.is_number, first)):
        return True
    return all(map(numbers.is_number, first)) and _is_index(np.array([*map(_number, first)]))


def _doubt(table: np.ndarray) -> str:
    """Why the first of more than three columns without names may be another than x; '' if not."""
    with np.errstate(invalid='ignore'):  # of infinities
        if _is_index(table[:, 0]) or _rises_alone(table[:, :4]):
            return 'its first column counts the rows: it can be an index, a time or x'
        if _is_number_of_something(table):
            return 'its first column has whole numbers, as an index or a label'
        if _numbers_before_points(table):
            return 'its first columns have whole numbers, as labels or colours, the next three not'
    return ''


def _is_index(column: np.ndarray) -> bool:
    """Whether a column counts from 0 or 1 on."""
    counts = np.arange(len(column))
    return len(column) >= 3 and any(np.array_equal(column, counts + start) for start in (0, 1))


def _rises_alone(table: np.ndarray) -> bool:
    """Whether the first of some columns rises from row to row as no other does, as times do."""
    rising = (np.diff(table, axis=0) > 0).all(axis=0)
    return len(table) >= 8 and bool(rising[0]) and not rising[1:].any()


def _is_number_of_something(table: np.ndarray) -> bool:
    """Whether the first column has whole numbers, and none of the next has; or the same in all."""
    whole = [bool((column == np.floor(column)).all()) for column in table[:, :4].T]
    one = len(table) > 1 and not np.ptp(table[:, 0])
    return whole[0] and (one or not any(whole[1:]))


def _numbers_before_points(table: np.ndarray) -> bool:
    """Whether two or three columns have whole numbers, and none of the three behind them has.

    Three may be coordinates: beyond what colours are, or where unit vectors follow.
    """
    whole = [bool((column == np.floor(column)).all()) for column in table[:, :6].T]
    count = whole.index(False) if False in whole else 0
    after = table[:, count : count + 3]
    if count < 2 or after.shape[1] < 3 or any(whole[count : count + 3]):
        return False
    units = np.allclose(np.linalg.norm(after, axis=1), 1, atol=0.02)
    first = table[:, :count]
    return count == 2 or (0 <= first.min() <= first.max() <= 255 and not units)


def _numbers(
    rows: list[str] | list[list[str]], separator: str | None, columns: list[int] | None
) -> np.ndarray:
    if isinstance(rows[0], str):
        if columns is None and rows[0].rstrip(' ').endswith(separator or '\n'):
            columns = list(range(rows[0].count(separator)))
        try:
            return np.loadtxt(rows, delimiter=separator, usecols=columns, ndmin=2, comments=None)
        except ValueError:
            rows = _split(rows, separator)
    chosen = range(len(rows[0])) if columns is None else columns
    kept = [[row[i] for i in chosen] for row in rows]
    try:
        return numbers.floats(kept)
    except ValueError:
        found = ((i, word) for i, row in enumerate(kept) for word in row)
        row, word = next((i, word) for i, word in found if not numbers.is_number(word))
        hint = _hint(_joined(rows[0]), separator)
        raise UserError(
            f'no table of numbers: row {row + 1} has {word[:80]!r} where a number should be{hint}'
        ) from None


def _hint(line: str, separator: str | None) -> str:
    commas = separator != ',' and re.search(r'\d,\d+(;|\s|$)', line)
    return '; write a decimal point in the place of the comma' if commas else ''


def _number(word: str) -> float:
    return float(numbers.plain(word)) if numbers.is_number(word) else np.nan


def _ambiguous(what: str, shown: str) -> UserError:
    return UserError(
        f'{what}. It begins\n{shown}\n    Give every column a name, x, y, z among them, or leave '
        'names and row names out'
    )
