"""ShapeNetPart in its two releases, and own clouds with a part for every point."""

import json
import pathlib

import h5py
import numpy as np
import pytest

from point_ft_jax.commands import check_data
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import split
from point_ft_jax.data.datasets import part_folder, shapenetpart
from point_ft_jax.data.split import Split

TABLE = 'Cup\tf_cup\nCap\tf_cap\n'
PARTS = {'Cup': [0, 1], 'Cap': [2, 3, 4]}
LISTS = {
    'train': ['f_cup/a', 'f_cap/b', 'f_cap/c'],
    'val': ['f_cup/d'],
    'test': ['f_cap/e', 'f_cup/f'],
}


def cloud(name: str, size: int = 40, first: int = 0, count: int = 2) -> np.ndarray:
    """[size, 7]: x y z, a normal, the part."""
    r = np.random.default_rng(list(name.encode()))
    table = r.normal(size=(size, 7)) * 3 + 5
    table[:, 6] = first + np.arange(size) % count
    return table


def write_text(root: pathlib.Path) -> pathlib.Path:
    (root / 'train_test_split').mkdir(parents=True)
    (root / 'synsetoffset2category.txt').write_text(TABLE)
    (root / 'seg_classes.json').write_text(json.dumps(PARTS))
    for name, shapes in LISTS.items():
        path = root / 'train_test_split' / f'shuffled_{name}_file_list.json'
        path.write_text(json.dumps([f'shape_data/{shape}' for shape in shapes]))
        for shape in shapes:
            file = root / f'{shape}.txt'
            file.parent.mkdir(exist_ok=True)
            parts = PARTS['Cup' if 'cup' in shape else 'Cap']
            table = cloud(shape, 40 + len(file.name) % 3, parts[0], len(parts))
            np.savetxt(file, table, fmt='%.6f')
    return root


def load(root: pathlib.Path, which: str = 'train', **options: object) -> split.Split:
    options = {'official': False, 'num_points': 32, **options}
    return shapenetpart.load(which, root=str(root), **options)


def test_the_text_release_is_read_with_its_own_categories(tmp_path: pathlib.Path) -> None:
    train, test = load(write_text(tmp_path)), load(tmp_path, 'test')
    assert train.classes == ('Cup', 'Cap')
    assert train.parts == ((0, 1), (2, 3, 4))
    assert train.part_names == ('Cup 0', 'Cup 1', 'Cap 2', 'Cap 3', 'Cap 4')
    assert train.names == ('f_cup/a', 'f_cap/b', 'f_cap/c', 'f_cup/d')  # validation too
    assert train.labels.tolist() == [0, 1, 1, 0]
    assert test.names == ('f_cap/e', 'f_cup/f')
    assert len(load(tmp_path, use_val=False)) == 3
    assert train.points.shape == (4, 32, 3)
    np.testing.assert_array_equal(load(tmp_path).points, train.points)
    assert (load(tmp_path, seed=1).points != train.points).any()


def test_shapes_are_normalised_whole_and_keep_their_parts(tmp_path: pathlib.Path) -> None:
    data = load(write_text(tmp_path))
    table = np.loadtxt(tmp_path / 'f_cap/b.txt')
    points = table[:, :3] - table[:, :3].mean(0)
    points /= np.linalg.norm(points, axis=1).max()
    for point, part in zip(data.points[1], data.part_labels[1], strict=True):
        row = np.linalg.norm(points - point, axis=1).argmin()
        np.testing.assert_allclose(points[row], point, atol=1e-5)
        assert table[row, 6] == part


def test_for_drawing_with_replacement_all_points_are_kept(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path)
    np.savetxt(tmp_path / 'f_cup/a.txt', cloud('a', 50))
    data = load(tmp_path, replacement=True, num_points=5000)
    assert data.points.shape == (4, 50, 3)
    lengths = [len(np.loadtxt(tmp_path / f'{name}.txt')) for name in data.names]
    assert data.sizes.tolist() == lengths
    own = data.sizes[1]
    np.testing.assert_array_equal(data.points[1, own:], data.points[1, : 50 - own])
    taken = data.take(np.array([2, 0]))
    assert taken.names == ('f_cap/c', 'f_cup/a')
    assert taken.sizes.tolist() == data.sizes[[2, 0]].tolist()


def test_the_hdf5_release_is_read(tmp_path: pathlib.Path) -> None:
    r = np.random.default_rng(0)
    for name, size in (('train', 3), ('val', 1), ('test', 2)):
        with h5py.File(tmp_path / f'ply_data_{name}0.h5', 'w') as file:
            labels = np.arange(size) % 2 * 2  # airplanes and caps
            file['data'] = r.normal(size=(size, 40, 3))
            file['label'] = labels[:, None].astype(np.uint8)
            start = np.where(labels == 0, 0, 6)[:, None]
            file['pid'] = (start + np.arange(40) % 2).astype(np.uint8)
        (tmp_path / f'{name}_hdf5_file_list.txt').write_text(f'data/ply_data_{name}0.h5\n')
    train, test = load(tmp_path), load(tmp_path, 'test')
    assert (len(train), len(test)) == (4, 2)
    assert train.classes == tuple(shapenetpart.PARTS)
    assert len(train.part_names) == 50
    assert train.parts[2] == (6, 7)
    assert set(train.part_labels[train.labels == 2].ravel()) == {6, 7}
    with h5py.File(tmp_path / 'ply_data_test0.h5', 'a') as file:
        del file['pid']
    with pytest.raises(UserError, match='has no array pid; found the keys data, label'):
        load(tmp_path, 'test')


def test_the_official_table_is_the_papers() -> None:
    assert len(shapenetpart.PARTS) == 16
    assert shapenetpart.PARTS['Motorbike'] == (30, 31, 32, 33, 34, 35)
    assert shapenetpart.PARTS['Table'] == (47, 48, 49)


def break_list(root: pathlib.Path) -> None:
    (root / 'train_test_split' / 'shuffled_train_file_list.json').unlink()


def break_columns(root: pathlib.Path) -> None:
    np.savetxt(root / 'f_cap/b.txt', cloud('b')[:, :6])


def break_part(root: pathlib.Path) -> None:
    np.savetxt(root / 'f_cap/b.txt', cloud('b', first=1))


def break_size(root: pathlib.Path) -> None:
    np.savetxt(root / 'f_cap/c.txt', cloud('c', 20, 2))


def break_number(root: pathlib.Path) -> None:
    table = cloud('c', first=2)
    table[3, 6] = 2.5
    np.savetxt(root / 'f_cap/c.txt', table)


def break_file(root: pathlib.Path) -> None:
    (root / 'f_cap/c.txt').unlink()


def break_value(root: pathlib.Path) -> None:
    table = cloud('b', first=2)
    table[3, 1] = np.nan
    np.savetxt(root / 'f_cap/b.txt', table)


def break_parts(root: pathlib.Path) -> None:
    (root / 'seg_classes.json').unlink()


def break_table(root: pathlib.Path) -> None:
    (root / 'synsetoffset2category.txt').unlink()


def break_folder(root: pathlib.Path) -> None:
    (root / 'synsetoffset2category.txt').write_text('Cup\tf_cup\n')


MISTAKES = {
    break_list: r'no file .*shuffled_train_file_list.json; .* holds shuffled_test_file_list.json',
    break_columns: r'(?s)1 files of .* cannot be read.*b.txt: 6 columns; expected 7, x y z',
    break_part: r'1 clouds have parts outside their category: f_cap/b \(Cap\) has 1; expected Cup',
    break_size: r'1 clouds have fewer than num_points=32 points: f_cap/c \(20\)',
    break_number: 'part labels that are no whole numbers: f_cap/c',
    break_file: '1 listed shapes have no file: f_cap/c',
    break_value: 'b.txt: 1 of 40 points are NaN, infinite or missing',
    break_parts: r'no parts are known of Cup: give .*seg_classes.json as \{"Cup": \[0, 1\]',
    break_table: r'no ShapeNetPart of the form auto in .*: looked for synsetoffset2category.txt',
    break_folder: 'listed folders that synsetoffset2category.txt does not name: f_cap',
}


@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda f: f.__name__)
def test_a_mistake_ends_in_its_message(mistake: callable, tmp_path: pathlib.Path) -> None:
    mistake(write_text(tmp_path))
    with pytest.raises(UserError, match=MISTAKES[mistake]):
        load(tmp_path)


def test_other_data_is_not_taken_for_the_official(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path)
    with pytest.raises(UserError, match='names 2 categories that are not the 16 of ShapeNetPart'):
        load(tmp_path, official=True)
    (tmp_path / 'synsetoffset2category.txt').write_text(
        ''.join(f'{name}\tf_{name.lower()}\n' for name in shapenetpart.PARTS)
    )
    for name, shapes in LISTS.items():
        caps = [shape for shape in shapes if 'cap' in shape]
        path = tmp_path / 'train_test_split' / f'shuffled_{name}_file_list.json'
        path.write_text(json.dumps([f'shape_data/{shape}' for shape in caps or ['f_cap/b']]))
        for shape in caps:
            np.savetxt(tmp_path / f'{shape}.txt', cloud(shape, first=6))
    with pytest.raises(UserError, match='1 shapes; the release has 2,874'):
        load(tmp_path, 'test', official=True)


def test_the_check_describes_it(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    options = [f'--root={write_text(tmp_path)}', '--official=False', '--num_points=32']
    assert check_data.main(['shapenetpart', *options]) == 0
    out = capsys.readouterr().out
    assert 'ShapeNetPart text (counts not checked)' in out
    assert '4 clouds of 32 points in 2 classes' in out
    assert 'parts: Cup 2, Cap 3' in out


def test_own_clouds_have_their_part_in_the_last_column(tmp_path: pathlib.Path) -> None:
    for name, first in (('lamp', 0), ('mug', 1)):
        (tmp_path / name).mkdir()
        for number in range(4):
            np.savetxt(tmp_path / name / f'{number}.txt', cloud(f'{name}{number}', first=first))
        np.save(tmp_path / name / 'more.npy', cloud(name, 44, first)[:, [0, 1, 2, 6]])
    train = part_folder.load('train', root=str(tmp_path))
    test = part_folder.load('test', root=str(tmp_path))
    assert len(train) + len(test) == 10
    assert train.points.shape[1:] == test.points.shape[1:] == (40, 3)
    assert train.parts == test.parts == ((0, 1), (1, 2))  # classes may share parts
    assert set(train.part_labels[train.labels == 1].ravel()) == {1, 2}
    assert np.linalg.norm(train.points, axis=-1).max() == pytest.approx(1, abs=0.1)
    np.savetxt(tmp_path / 'mug' / '0.txt', cloud('x')[:, :3])
    np.save(tmp_path / 'mug' / 'more.npy', cloud('x')[:, :3])
    with pytest.raises(
        UserError, match=r'(?s)2 of 10 files .*: 3 columns; .*: 3 columns; expected x, y, z first'
    ):
        part_folder.load('train', root=str(tmp_path))


def test_own_clouds_with_wrong_parts_are_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'mug').mkdir()
    for number, first in enumerate((0, -1, 0)):
        np.savetxt(tmp_path / 'mug' / f'{number}.txt', cloud(f'{number}', first=first))
    with pytest.raises(UserError, match=r'parts outside their category: mug/1.txt \(mug\) has -1'):
        part_folder.load('train', root=str(tmp_path))


def test_own_arrays_may_have_part_labels() -> None:
    points = np.random.default_rng(0).normal(size=(3, 8, 3))
    parts = np.array([[0] * 8, [1, 2] * 4, [0, 2] * 4])
    data = Split.from_arrays(points, [0, 1, 0], ('a', 'b'), parts)
    assert data.parts == ((0, 2), (1, 2))
    assert data.part_names == ('part 0', 'part 1', 'part 2')
    with pytest.raises(
        UserError, match=r'part_labels are int64 \[3, 7\]; expected integers \[3, 8'
    ):
        Split.from_arrays(points, [0, 1, 0], ('a', 'b'), parts[:, :7])
    with pytest.raises(UserError, match='part_labels go down to -1; expected 0 or more'):
        Split.from_arrays(points, [0, 1, 0], ('a', 'b'), parts - 1)
