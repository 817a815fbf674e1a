"""Tables are aligned in Markdown and as text, with numbers on the right."""

import numpy as np

from point_ft_jax.reports import tables

ROWS = [
    {'part': 'backbone', 'parameters': 21_825_024, 'share': '98.8 %'},
    {'part': 'head', 'parameters': np.int64(268_303), 'share': '1.2 %', 'trained': True},
]


def test_markdown_is_aligned_with_numbers_on_the_right():
    assert tables.markdown(ROWS) == (
        '| part     | parameters |  share | trained |\n'
        '| -------- | ---------: | -----: | ------- |\n'
        '| backbone | 21,825,024 | 98.8 % |         |\n'
        '| head     |    268,303 |  1.2 % | yes     |'
    )


def test_text_is_aligned_with_numbers_on_the_right():
    assert tables.text(ROWS) == (
        'part      parameters   share  trained\n'
        '--------  ----------  ------  -------\n'
        'backbone  21,825,024  98.8 %\n'
        'head         268,303   1.2 %  yes'
    )


def test_columns_are_chosen_and_ordered():
    assert tables.text(ROWS, ['share', 'part']).splitlines()[2] == '98.8 %  backbone'
    assert tables.text([], ['share', 'part']) == 'share  part\n-----  ----'


def test_no_rows_and_no_columns_are_no_table():
    assert tables.markdown([]) == tables.text([]) == ''


def test_floats_have_four_digits_and_large_ones_separators():
    values = [0.5, 1 / 3, 123456.7, 1.5e-7, np.float32(2), float('nan')]
    table = tables.text([{'x': value} for value in values])
    assert [cell.strip() for cell in table.splitlines()[2:]] == [
        '0.5', '0.3333', '123,457', '1.5e-07', '2', 'nan',
    ]  # fmt: skip


def test_a_column_of_numbers_with_deviations_is_on_the_right_and_one_with_names_is_not():
    numbers = tables.text([{'x': '84.10 ± 0.32'}, {'x': '7.5'}])
    assert numbers.splitlines()[3] == '         7.5'
    names = tables.text([{'x': 'pb_t50_rs'}, {'x': '7.5'}])
    assert names.splitlines()[3] == '7.5'


def test_markdown_cells_cannot_break_the_table():
    table = tables.markdown([{'a|b': 'one\ntwo | three'}])
    assert table.splitlines()[2] == '| one<br>two \\| three |'
    assert table.splitlines()[0].startswith('| a\\|b')
