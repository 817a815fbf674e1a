"""The record of what was compiled ahead of time, and what guards it."""

import json
import pathlib
import shutil

import pytest

from kernels import aot, aot_costs, aot_programs, aot_table, bench_peers
from point_ft_jax.commands import compile as compile_command

RECORDED = json.loads(aot.RECORD.read_text())


def test_the_document_is_the_records() -> None:
    assert aot_table.DOCUMENT.read_text() == aot_table.document(RECORDED)


def test_everything_is_recorded_accepted_and_without_spills() -> None:
    assert set(RECORDED) == set(aot.names([*aot_programs.programs(), *compile_command.programs()]))
    assert aot.growths({}, RECORDED) == []


def test_no_program_gathers_points_over_devices() -> None:
    spread = {n: row['collectives'] for n, row in RECORDED.items() if row['devices'] > 1}
    assert not [name for name, found in spread.items() if 'all-gather' in found]


def test_kernels_are_what_was_compiled() -> None:
    kernels = {n: row for n, row in RECORDED.items() if n.split('/')[1][:3] in ('fps', 'knn')}
    assert all(row['kernels'] == 1 for row in kernels.values())
    on_tpus = [row for name, row in kernels.items() if not name.startswith('sm_90')]
    assert all(row['cycles'] > 0 for row in on_tpus)
    assert all(row['registers'] > 0 for n, row in kernels.items() if n.startswith('sm_90'))


def test_growth_beyond_a_tenth_is_named() -> None:
    before = {'a': {'cycles': 100, 'registers': 40}}
    assert aot.growths(before, {'a': {'cycles': 110, 'registers': 30}}) == []
    assert aot.growths(before, {'a': {'cycles': 111, 'registers': 40}}) == [
        'a: cycles 111 where 100 is recorded'
    ]
    assert aot.growths(before, {'a': {'cycles': 200, 'compiler': 'another'}}) == []
    found = aot.growths(before, {'a': {'error': 'no'}, 'b': {'spilled_bytes': 8}})
    assert found == ['a: not accepted: no', 'b: spills 8 bytes']


def test_the_most_registers_and_spills_of_what_ptxas_prints() -> None:
    said = (
        'ptxas info    : 0 bytes gmem\n'
        '    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n'
        'ptxas info    : Used 44 registers, used 1 barriers\n'
        '    8 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n'
        'ptxas info    : Used 31 registers, used 1 barriers\n'
    )
    assert aot_costs.registers(said) == {'registers': 44, 'spilled_bytes': 8}
    assert aot_costs.registers('nothing') == {}


def test_cycles_are_the_innermost_loops(tmp_path: pathlib.Path) -> None:
    bundles = '   0x1 LB: > { a }\n   0x2   : >> { b }\n   0x3   : >> { c }\n   0x4   : > { d }\n'
    (tmp_path / '7-knn.1-72-final_bundles.txt').write_text(bundles)
    (tmp_path / '7-knn.1-71-schedule-analysis_final_bundles.txt').write_text('other')
    chains = 'region: r1 {members=9 x}\n  Length to end: 50, a\n\n'
    critical = tmp_path / '7-knn.1-36-critical-path.txt'
    critical.write_text(chains + 'region: r2 {members=90 x}\n  Length to end: 7, b\n')
    assert aot_costs.static_cycles(tmp_path, 'knn') == 7
    critical.write_text('region: r2 {members=90 x}\n  Length to end: 1, b\n')
    assert aot_costs.static_cycles(tmp_path, 'knn') == 2
    with pytest.raises(LookupError, match='0 files'):
        aot_costs.static_cycles(tmp_path, 'fps')


def test_a_name_that_nothing_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        aot.main(['--only=nothing'])
    assert 'nothing has nothing in its name; see --list' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not aot.versions('tpu'), reason='libtpu is not installed')
def test_the_tpus_compiler_accepts_a_kernel_at_its_recorded_cost() -> None:
    assert aot.main(['--only=v5e/fps 1024 to 64, batch 32']) == 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('nvcc'), reason='no nvcc')
def test_the_classical_cuda_kernel_builds(tmp_path: pathlib.Path) -> None:
    assert bench_peers.build_classic(shutil.which('nvcc'), tmp_path).exists()
