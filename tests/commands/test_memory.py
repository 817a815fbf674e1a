"""Memory by XLA's analysis: less for what is frozen, and a table and a picture of it."""

import csv
import pathlib

import pytest

from point_ft_jax.commands import benchmark, memory
from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import command_line
from point_ft_jax.models.build import known

CASE = {
    'backbone': 'point_mae',
    'variant': 'tiny',
    'batch': 4,
    'points': 64,
    'geometry': {'num_groups': 8, 'group_size': 4, 'depth': 1},
    'compute': 'float32',
    'memory': 'fast',
}


@pytest.mark.slow
def test_probing_takes_less_memory_than_full_fine_tuning() -> None:
    full, probe = (memory.step_memory({**CASE, 'method': m}) for m in ('full', 'linear_probe'))
    assert probe['temporaries'] < full['temporaries']
    # AdamW's two moments of every parameter that trains.
    assert probe['arguments'] < 0.5 * full['arguments']
    assert full['total'] >= full['arguments'] + full['temporaries']


def test_the_table_and_the_picture_are_written(tmp_path: pathlib.Path) -> None:
    rows = [
        {
            'backbone': 'recon',
            'method': method,
            'memory': 'fast',
            'batch': batch,
            'total MiB': batch * 10,
        }
        for method in ('full', 'dapt')
        for batch in (8, 16)
    ]
    memory.write(tmp_path, rows, 'small')
    assert (tmp_path / 'memory.png').stat().st_size > 5000
    with (tmp_path / 'memory.csv').open() as file:
        assert [row['batch'] for row in csv.DictReader(file)] == ['8', '16', '8', '16']


@pytest.mark.parametrize('text', ['', '8,', '8,x', '0', '-8'])
def test_numbers_of_a_flag_are_checked(text: str) -> None:
    with pytest.raises(UserError, match=r'--batch is .*; expected whole numbers'):
        command_line.numbers('--batch', text)


def test_every_backbone_gets_the_fields_that_it_has() -> None:
    fields = {'num_groups': 128, 'group_size': 32}
    found = {name: known(name, fields) for name in plugins.available('backbones')}
    assert found.pop('point_m2ae') == {}
    assert all(own == fields for own in found.values())


def test_a_compiler_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(memory.aot.COMPILERS, 'cuda', 'no-such-compiler')
    with pytest.raises(UserError, match=r'no-such-compiler is not installed; .*\[aot-gpu\]'):
        memory.device_of('H200')


@pytest.mark.slow
def test_the_bench_of_a_population_compares_it_with_runs_in_turn() -> None:
    small = {'num_groups': 8, 'group_size': 4, 'depth': 1, 'width': 12, 'heads': 2}
    options = {'variant': 'tiny', 'batch': 4, 'points': 64, 'compute': 'float32', **small}
    row = benchmark.measure_population('point_mae', 'dapt', 1, 3, **options)
    assert row['members'] == '3'
    assert all(float(row[f'{clouds} clouds gain']) > 0 for clouds in ('own', 'shared'))
    # What the frozen tokenizer makes of the clouds is there three times, or once.
    assert float(row['shared clouds temp MiB']) <= float(row['own clouds temp MiB'])
