"""What is read without an error and is wrong all the same: check_data names each of its kinds."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import reader_cases

from point_ft_jax.commands import check_data

R = np.random.default_rng(0)
UTM = reader_cases.UTM


def save(path: pathlib.Path, cloud: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, cloud)


def far_doubles(root: pathlib.Path) -> None:
    for index in range(3):
        save(root / f'train/bag/far {index}.npy', R.uniform(-0.1, 0.1, (50, 3)) + UTM)


def far_singles(root: pathlib.Path) -> None:
    save(root / 'train/bag/far.npy', (R.uniform(-0.1, 0.1, (50, 3)) + UTM).astype(np.float32))


def short_header(root: pathlib.Path) -> None:
    rows = '\n'.join(' '.join(map(str, row)) for row in R.normal(size=(50, 4)))
    (root / 'train/bag/short.txt').write_text(f'x y z\n{rows}\n')


def bare_header(root: pathlib.Path) -> None:
    rows = '\n'.join(','.join(map(str, row)) for row in R.normal(size=(50, 3)))
    (root / 'train/bag/bare.csv').write_text(f'0,1,2\n{rows}\n')


def turned(root: pathlib.Path) -> None:
    save(root / 'train/bag/turned.npy', R.normal(size=(3, 50)))


def nested(root: pathlib.Path) -> None:
    for index in range(40):
        save(root / f'train/bag/scans/{index}.npy', R.normal(size=(50, 3)))


def other_format(root: pathlib.Path) -> None:
    (root / 'train/bag/a.glb').write_bytes(b'glTF')


def listed(root: pathlib.Path) -> None:
    (root / 'train.txt').write_text('train/bag/bag 0.npy\ntrain/bag/bag 1.npy\n')


def in_both(root: pathlib.Path) -> None:
    save(root / 'test/bag/copy.npy', np.load(root / 'train/bag/bag 0.npy')[::-1])


def under_two_labels(root: pathlib.Path) -> None:
    save(root / 'train/cup/copy.npy', np.load(root / 'train/bag/bag 0.npy'))


def twice(root: pathlib.Path) -> None:
    np.savetxt(root / 'train/bag/copy.txt', np.load(root / 'train/bag/bag 0.npy'), fmt='%.17g')


def a_class_in_millimetres(root: pathlib.Path) -> None:
    for split in ('train', 'test'):
        for path in (root / split / 'cup').iterdir():
            save(path, 1000 * np.load(path))


def a_cloud_in_millimetres(root: pathlib.Path) -> None:
    save(root / 'train/bag/mm.npy', 1000 * R.normal(size=(50, 3)))


def few_points(root: pathlib.Path) -> None:
    save(root / 'train/bag/few.npy', R.normal(size=(9, 3)))


def unequal(root: pathlib.Path) -> None:
    for index in range(60):
        save(root / f'train/bag/more {index}.npy', R.normal(size=(50, 3)))


def not_in_test(root: pathlib.Path) -> None:
    save(root / 'train/pot/a.npy', R.normal(size=(50, 3)))


def a_mesh_and_its_cloud(root: pathlib.Path) -> None:
    (root / 'train/bag/bag 0.obj').write_bytes(reader_cases.obj())


NOTES = {
    far_doubles: '3 clouds lie more than 100 times their extent from the origin: train/bag/far 0',
    nested: '40 files of data are not used: train/bag/scans/0.npy',
    other_format: '1 files of data are not used: train/bag/a.glb',
    listed: 'lists that are not followed: train.txt',
    in_both: 'clouds of test are also in train (train/bag/bag 0.npy = test/bag/copy.npy)',
    under_two_labels: '1 clouds have two labels: train/bag/bag 0.npy (bag) = train/cup/copy.npy (c',
    twice: 'clouds occur more than once in train: train/bag/bag 0.npy = train/bag/copy.txt',
    a_class_in_millimetres: 'classes of another size than the others',
    a_cloud_in_millimetres: '1 clouds of another size than their class: train/bag/mm.npy',
    few_points: 'points a cloud: 9 to 50, median 50; less than half of it or more than twice: tr',
    unequal: 'classes are unequal in train: bag 65, cup 5',
    not_in_test: 'test has no cloud of pot',
    a_mesh_and_its_cloud: 'left alone: 1 other files (bag 0.obj)',
}
PROBLEMS = {
    far_singles: '1 clouds have lost their shape to rounding: train/bag/far.npy',
    short_header: 'short.txt: its header has 3 names and its rows 4 columns',
    bare_header: 'bare.csv: its first line counts: it can be a header or a point',
    turned: 'turned.npy: found 50 columns and 3 rows; expected a row for each point',
}


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A sound folder of two classes with a split."""
    for split, count in (('train', 5), ('test', 3)):
        for name in ('bag', 'cup'):
            for index in range(count):
                save(tmp_path / split / name / f'{name} {index}.npy', R.normal(size=(50, 3)))
    return tmp_path


@pytest.mark.parametrize(
    ('change', 'status', 'text'),
    [
        *(pytest.param(change, 0, text, id=change.__name__) for change, text in NOTES.items()),
        *(pytest.param(change, 1, text, id=change.__name__) for change, text in PROBLEMS.items()),
    ],
)
def test_it_is_named(
    root: pathlib.Path,
    capsys: pytest.CaptureFixture,
    change: Callable[[pathlib.Path], None],
    status: int,
    text: str,
) -> None:
    change(root)
    assert check_data.main(['folder', f'--root={root}', '--normalize=true']) == status
    out = capsys.readouterr().out
    assert text in out
    assert len(out.splitlines()) < 20


def test_a_sound_folder_has_no_note(root: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert check_data.main(['folder', f'--root={root}']) == 0
    out = capsys.readouterr().out
    assert 'note' not in out
    assert len(out.splitlines()) < 10
