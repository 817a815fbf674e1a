"""Runs beside each other, and reports written again from what runs left."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
from made_up import classifier, segmenter
from small import tiny

from point_ft_jax.commands import compare, report
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import run_folder
from point_ft_jax.reports import finetuning


def run(folder: pathlib.Path, record: finetuning.Finetuning, **changes: object) -> str:
    """A finished run with a made-up result."""
    run_folder.begin(tiny(folder, **changes))
    finetuning.make_report(record).write(folder)
    return str(folder)


@pytest.fixture
def two(tmp_path: pathlib.Path) -> list[str]:
    """Two runs on the same clouds; the second one is right everywhere."""
    first = classifier()
    shown = first.gallery
    right = np.eye(shown.probabilities.shape[1], dtype=np.float32)[shown.labels]
    perfect = finetuning.Evaluation(3, np.diag(first.seeds[0].chosen.confusion.sum(1)))
    second = dataclasses.replace(
        first,
        seeds=[finetuning.SeedResult(0, perfect)],
        gallery=dataclasses.replace(shown, probabilities=right, mistakes=()),
    )
    return [
        run(tmp_path / 'a', first),
        run(tmp_path / 'b', second, **{'optim.lr': 1e-3, 'train.epochs': 3}),
    ]


def test_configs_and_results_stand_side_by_side(two: list[str]) -> None:
    text = compare.compared(two)
    assert re.search(r'^optim\.lr +0\.0005 +0\.001$', text, re.MULTILINE)
    assert re.search(r'^train\.epochs +2 +3$', text, re.MULTILINE)
    assert 'folder' not in text.split('Results')[0].split('Configs')[1]
    line = next(line for line in text.splitlines() if 'Test split: overall accuracy' in line)
    assert re.search(r'\d+\.\d\d \(\d+\.\d to \d+\.\d\) +100\.00 \(91\.2 to 100\.0\)', line)


def test_classifiers_of_the_same_clouds_are_compared_cloud_by_cloud(two: list[str]) -> None:
    first = classifier().gallery
    wrong = 100 * float((first.probabilities.argmax(1) != first.labels).mean())
    text = compare.compared(two)
    assert 'Cloud by cloud, on the 40 clouds of the test split' in text
    found = re.search(r'b against a: \+(\S+) points of accuracy \(\+(\S+) to \+(\S+)\)', text)
    assert float(found[1]) == pytest.approx(wrong, abs=0.01)
    assert float(found[2]) <= wrong <= float(found[3])


def test_other_data_or_another_task_are_not_compared_cloud_by_cloud(
    two: list[str], tmp_path: pathlib.Path
) -> None:
    other = run(tmp_path / 'c', classifier(), **{'data.seed': 5})
    parts = run(tmp_path / 'd', segmenter())
    text = compare.compared([two[0], other, parts])
    assert 'Cloud by cloud' not in text
    assert 'Test split: instance mIoU' in text


def test_what_cannot_be_compared_is_said_with_the_command_that_mends_it(
    two: list[str], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match='1 run to compare; expected two or more'):
        compare.compared([two[0], two[0]])
    run_folder.begin(tiny(tmp_path / 'begun'))
    old = pathlib.Path(two[1])
    result = json.loads((old / 'result.json').read_text())
    del result['scores'], result['checksum']
    (old / 'result.json').write_text(json.dumps(result))
    with pytest.raises(UserError) as error:
        compare.compared([*two, str(tmp_path / 'begun'), str(tmp_path / 'gone')])
    message = str(error.value)
    assert f'run.py --config={tmp_path / "begun" / "config.json"} goes on with it' in message
    assert f'{tmp_path / "gone"} is no folder of a run' in message
    assert 'is of before results could be compared' in message


def test_a_damaged_result_or_record_is_named(two: list[str]) -> None:
    result, record = (pathlib.Path(two[1]) / name for name in ('result.json', 'report.npz'))
    sound = result.read_text()
    for changed in (sound.replace('0.', '1.', 1), sound.replace('"checksum"', '"checksun"'), '{'):
        result.write_text(changed)
        with pytest.raises(UserError, match=r'result\.json (is not what was written|cannot be)'):
            compare.compared(two)
    result.write_text(sound)
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 4
    record.write_bytes(content)
    with pytest.raises(UserError, match=r'report\.npz cannot be read .* given again, writes it'):
        report.rebuilt(record.parent)


def test_a_lost_report_is_written_again(two: list[str], capsys: pytest.CaptureFixture) -> None:
    folder = pathlib.Path(two[0])
    before = {path.name: path.read_bytes() for path in folder.glob('*.[mhp]*')}
    assert {'report.md', 'report.html', 'mistakes.png'} <= before.keys()
    for name in before:
        (folder / name).unlink()
    report.main([str(folder)])
    assert {path.name: path.read_bytes() for path in folder.glob('*.[mhp]*')} == before
    assert f'report: {folder / "report.md"}' in capsys.readouterr().out
    report.main([str(folder), f'--out={folder / "elsewhere"}'])
    assert (folder / 'elsewhere' / 'report.md').read_bytes() == before['report.md']


def test_a_run_without_a_record_says_how_to_come_by_one(tmp_path: pathlib.Path) -> None:
    run_folder.begin(tiny(tmp_path / 'begun'))
    with pytest.raises(UserError, match=r'has no report.npz .*--config=.*config.json goes on'):
        report.rebuilt(tmp_path / 'begun')
    with pytest.raises(UserError, match='expected the folder of a run, with report'):
        report.rebuilt(tmp_path)
    with pytest.raises(UserError, match='no such folder'):
        report.rebuilt(tmp_path / 'gone')
