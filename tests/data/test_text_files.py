"""Text tables: of any dialect they give the points that were written, or are refused."""

import dataclasses
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import points as point_files

ROWS = [(0.5, 1.5, -2.25), (3.125, 4.0, 5.5), (-6.0, 7.75, 8.5), (9.5, -10.0, 11.0)]
NAMES = ('x', 'y', 'z', 'nx', 'ny', 'nz', 'label')


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a writer of text writes columns; `names` are those of the columns in their order."""

    names: tuple[str, ...]
    separator: str
    newline: str
    header: str  # 'none', 'names', 'quoted', 'remark', 'short' (without row names), 'counted'
    row_names: str  # 'none', 'counted', 'words'
    start: str  # before everything
    trailing: bool  # a separator after each row

    @property
    def is_plain(self) -> bool:
        """Whether nothing stands for the columns but their names, or their order."""
        named = self.header in ('names', 'quoted', 'remark')
        ordered = self.header == 'none' and self.names[:3] == ('x', 'y', 'z')
        return self.row_names == 'none' and (named or ordered)


def written(values: np.ndarray, dialect: Dialect) -> bytes:
    """The values [N, C] as text, a column for each name."""
    quote = '"' if dialect.header == 'quoted' else ''
    head = [f'{quote}{name.upper() if quote else name}{quote}' for name in dialect.names]
    if dialect.header == 'counted':
        head = [str(i) for i in range(len(head))]
    rows = [[*map(repr, row)] for row in values.tolist()]
    if dialect.row_names != 'none':
        words = [f'{i}' if dialect.row_names == 'counted' else f'"p {i}"' for i in range(len(rows))]
        rows = [[word, *row] for word, row in zip(words, rows, strict=True)]
        head = head if dialect.header == 'short' else ['""', *head]
    lines = [dialect.separator.join(row) for row in rows]
    if dialect.trailing and dialect.separator != ' ':
        lines = [line + dialect.separator for line in lines]
    if dialect.header != 'none':
        mark = '# ' if dialect.header == 'remark' else ''
        lines = [mark + dialect.separator.join(head), *lines]
    return (dialect.start + dialect.newline.join([*lines, ''])).encode()


dialects = st.builds(
    Dialect,
    names=st.integers(3, 7).flatmap(lambda n: st.permutations(NAMES[:n])).map(tuple),
    separator=st.sampled_from([' ', '\t', ',', ', ', ';', '|']),
    newline=st.sampled_from(['\n', '\r\n', '\r']),
    header=st.sampled_from(['none', 'names', 'quoted', 'remark', 'short', 'counted']),
    row_names=st.sampled_from(['none', 'counted', 'words']),
    start=st.sampled_from(['', '\ufeff', '# façade, scanned\n', '// by hand\r\n\r\n']),
    trailing=st.booleans(),
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for the files of all examples."""
    return tmp_path_factory.mktemp('text')


@settings(deadline=None, max_examples=150)
@given(values=hnp.arrays(np.float64, (7, 7), elements=st.floats(-1e9, 1e9)), dialect=dialects)
def test_any_dialect_is_read_to_what_was_written_or_refused(folder, values, dialect):
    values = values[:, : len(dialect.names)]
    order = [dialect.names.index(axis) for axis in 'xyz']
    if dialect.header in ('none', 'counted'):
        order = [0, 1, 2]  # nothing says otherwise
    path = folder / 'a.txt'
    path.write_bytes(written(values, dialect))
    try:
        found = point_files.read(path)
    except UserError:
        whole = values == np.floor(values)  # such may be an index, a label or bare numbers
        counting = dialect.header == 'none' and (whole[:, 0].all() or whole[0].all())
        assert not dialect.is_plain or counting
        return
    np.testing.assert_array_equal(found, values[:, order])


def lines(*texts: str) -> bytes:
    return '\n'.join([*texts, '']).encode()


def table(separator: str = ' ', first: str = '', rows: list = ROWS, last: str = '') -> list[str]:
    """The rows as lines; `first` and `last` may hold {i}, the row's number from 0 on."""
    return [
        separator.join([*filter(None, [first.format(i=i)]), *map(str, row)]) + last.format(i=i)
        for i, row in enumerate(rows)
    ]


SWAPPED = [(z, x, y) for x, y, z in ROWS]
READ = {
    "R's row names in quotes": lines('"x" "y" "z"', *table(first='"{i}"')),
    "R's row names without": lines('x y z', *table(first='{i}')),
    'row names with blanks': lines('"x" "y" "z"', *table(first='"row {i}"')),
    'an index with a name': lines('id,z,x,y', *table(',', '{i}', SWAPPED)),
    "pandas' index": lines(',x,y,z', *table(',', '{i}')),
    "pandas' index and no names": lines(',0,1,2', *table(',', '{i}')),
    'names in a remark': lines('//Z X Y', *table(rows=SWAPPED)),
    "savetxt's names": lines('# z, x, y', *table(', ', rows=SWAPPED)),
    'a remark before names': lines('# columns: z x y', *table(rows=SWAPPED)),
    'prose of x, y and z': lines('# x y z are in metres', *table()),
    'units': lines('Z [m];X [m];Y (m)', *table(';', rows=SWAPPED)),
    "ParaView's names": lines('"N","Points:2","Points:0","Points:1"', *table(',', '1', SWAPPED)),
    'words in other columns': lines('x,y,z,class', *table(',', last=',"chair, red"')),
    'empty other columns': lines('x,y,z,class', *table(',', last=',')),
    'a separator at the end': lines('x,y,z', *table(',', last=',')),
    'names by commas, rows by blanks': lines('z, x, y', *table(rows=SWAPPED)),
    'a count before names': lines('4', 'z x y', *table(rows=SWAPPED)),
    'UTF-16': '\n'.join(['z\tx\ty', *table('\t', rows=SWAPPED)]).encode('utf-16'),
    'latin-1': '\n'.join(['# Größe', *table()]).encode('latin1'),
    'lines ended by CR': lines(*table()).replace(b'\n', b'\r'),
    'a mark for the end': lines(*table()) + b'\x1a',
    "a spreadsheet's line on separators": lines('sep=;', 'x;y;z', *table(';')),
    "Fortran's exponents": lines(*table(last='D+00')),
    'words behind numbers without names': lines(*table(last=' wall')),
}


@pytest.mark.parametrize('content', READ.values(), ids=READ)
def test_columns_are_found(tmp_path, content):
    (tmp_path / 'a.txt').write_bytes(content)
    np.testing.assert_array_equal(point_files.read(tmp_path / 'a.txt'), ROWS)


REFUSED = {
    'a name short': (lines('x y z', *table(last=' 0.5')), '3 names and its rows 4 columns'),
    'two names short': (lines('x,y,z', *table(',', last=',1,2')), '3 names and its rows 5 col'),
    'a name too many': (lines('x y z i', *table()), '4 names and its rows 3 columns'),
    'bare numbers': (lines('0,1,2', *table(',')), 'first line counts'),
    'bare numbers from 1': (lines('1 2 3', *table()), 'first line counts'),
    'six bare numbers': (lines('0 1 2 3 4 5', *table(last=' 1 2 3')), 'first line counts'),
    'an index without a header': (lines(*table(',', '{i}')), 'first column counts the rows'),
    'an index from 1': (lines(*table(first='{i}', rows=ROWS)), 'first column counts the rows'),
    'an index of some rows': (lines(*table(first='7{i}', rows=ROWS)), 'has whole numbers, as'),
    'one label in all rows': (lines(*table(first='3')), 'has whole numbers, as'),
    'times': (
        lines(*table(first='0.{i}', rows=ROWS * 2)),
        'counts the rows: it can be an index, a',
    ),
    'times at no even steps': (
        lines(*(f'1.7{i * i:04}e9 {a} {b} {c}' for i, (a, b, c) in enumerate(ROWS * 3))),
        'counts the rows: it can be an index, a',
    ),
    'two labels before points': (
        lines(*(f'{i % 2} {i % 3} {a} {b} {c}' for i, (a, b, c) in enumerate(ROWS))),
        'whole numbers, as labels or colours',
    ),
    'colours before points': (
        lines(*(f'{9 * i} 255 {i % 3} {a} {b} {c}' for i, (a, b, c) in enumerate(ROWS))),
        'whole numbers, as labels or colours',
    ),
    'bare numbers and a word': (lines('0 1 2 a', *table(last=' wall')), 'first line counts'),
    'a remark of other columns': (lines('# id x y z', *table()), 'a remark names 4 columns, of 3'),
}


@pytest.mark.parametrize(('content', 'message'), REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_two_ways_is_shown(tmp_path, content, message):
    (tmp_path / 'a.csv').write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        point_files.read(tmp_path / 'a.csv')
    first = [line for line in content.decode().splitlines() if not line.startswith('#')][:2]
    assert all(f'    {line}\n' in str(caught.value) for line in first)


WRONG = {
    'another count': (lines('5', *table()), 'says 5 points, and 4 rows follow'),
    'two axes of one name': (lines('x,y,y', *table(',')), 'names no x, y, z, each once'),
    'decimal commas': (lines('0,5;1,5;2,5', '1,5;3,5;4,5'), 'write a decimal point in the place'),
    'a longer row': (lines('x,y,z', *table(',', last=',1'), '1,2,3'), 'row 5 has 3 columns'),
    'an empty axis': (lines('x,y,z', *table(','), '1,,3'), '1 of 5 points are NaN, infinite or'),
    'a word in a row': (
        lines('x,y,z', *table(','), '1,a,3'),
        "row 5 has 'a' where a number should",
    ),
    'digits that Python alone reads': (lines('1_0 2 3', '1 2 3'), 'names no x, y, z'),
}


@pytest.mark.parametrize(('content', 'message'), WRONG.values(), ids=WRONG)
def test_header_and_rows_that_do_not_fit_are_refused(tmp_path, content, message):
    (tmp_path / 'a.csv').write_bytes(content)
    with pytest.raises(UserError, match=message):
        point_files.read(tmp_path / 'a.csv')


def test_whole_numbers_that_begin_by_counting_are_points(tmp_path):
    (tmp_path / 'a.xyz').write_text('1 2 3\n4 5 6\n7 8 8\n')
    assert point_files.read(tmp_path / 'a.xyz').tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 8]]


@pytest.mark.parametrize('scale', [100, -1])
def test_whole_numbers_before_fractions_are_points_where_they_are_no_colours(tmp_path, scale):
    rows = [f'{scale * (i % 4)} 2 {i} {i}.5 {i % 3}.25 0.75' for i in range(9)]
    (tmp_path / 'a.txt').write_bytes(lines(*rows))
    assert point_files.read(tmp_path / 'a.txt')[3].tolist() == [3 * scale, 2, 3]


def test_whole_numbers_before_unit_normals_are_points(tmp_path):
    rows = [f'{i % 4} 2 {i} 0.6 0.8 0.0' if i % 2 else f'{i % 4} 2 {i} 0 0.6 0.8' for i in range(9)]
    (tmp_path / 'a.txt').write_bytes(lines(*rows[1:], '3 2 9 0.8 0.0 0.6'))
    assert point_files.read(tmp_path / 'a.txt')[1].tolist() == [2, 2, 2]


def test_the_part_is_found_by_its_name(tmp_path):
    (tmp_path / 'a.csv').write_bytes(lines('label,z,x,y', *table(',', '{i}', SWAPPED)))
    found = point_files.read_table(tmp_path / 'a.csv')
    np.testing.assert_array_equal(found, [(*row, i) for i, row in enumerate(ROWS)])


def test_infinities_are_no_columns_of_their_own(tmp_path):
    (tmp_path / 'a.txt').write_bytes(lines(*['inf 0.5 0.5 1'] * 9, *table(last=' 1')))
    np.testing.assert_array_equal(point_files.read(tmp_path / 'a.txt', nonfinite='drop'), ROWS)


@pytest.mark.parametrize(
    'row',
    ['nan nan nan', '-nan(ind) 1 2', '1.#INF -1.#IND 1.#QNAN', 'NA NA NA', 'NULL 1 2', '#N/A 1 2'],
)
def test_what_stands_for_no_number_is_counted_and_can_be_dropped(tmp_path, row):
    for content in (lines(*table(), row), lines(row, *table())):
        (tmp_path / 'a.txt').write_bytes(content)
        np.testing.assert_array_equal(point_files.read(tmp_path / 'a.txt', nonfinite='drop'), ROWS)
        with pytest.raises(UserError, match='1 of 5 points are NaN, infinite or missing'):
            point_files.read(tmp_path / 'a.txt')
