"""Clouds, folders and data sets in one file: what was read comes back equal, the rest is named."""

import pathlib

import numpy as np
import pytest
import reader_cases

from point_ft_jax.commands import convert
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import folder, part_folder
from point_ft_jax.data.files import packed, points
from point_ft_jax.data.loader import load_dataset
from point_ft_jax.data.split import Split

ENDINGS = ('.h5', '.npz')
UTM = reader_cases.UTM


@pytest.fixture
def scans(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two classes in several formats, with colours, far from the origin, of different sizes."""
    r = np.random.default_rng(0)
    for name in ('cup', 'Stühle'):
        (tmp_path / 'scans' / name).mkdir(parents=True)
        for index in range(4):
            cloud = r.uniform(size=(20 + index, 3)) + UTM
            content = reader_cases.pcd(cloud, 'binary', 'f8')
            (tmp_path / 'scans' / name / f'{index}.pcd').write_bytes(content)
    (tmp_path / 'scans' / 'cup' / 'a.obj').write_bytes(
        reader_cases.obj(tail=' 0.5 0 1').replace(b'v 0.0', b'v 0.1')
    )
    return tmp_path / 'scans'


def assert_equal(found: dict[str, Split], expected: dict[str, Split]) -> None:
    assert found.keys() == expected.keys()
    for name, split in expected.items():
        for field in ('points', 'labels', 'part_labels'):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(split, field))
        assert found[name].classes == split.classes
        assert found[name].channels == split.channels


def run(*arguments: object) -> int:
    return convert.main(list(map(str, arguments)))


@pytest.mark.parametrize('ending', ENDINGS)
def test_a_folder_comes_back_equal(tmp_path, scans, capsys, ending):
    target = tmp_path / f'all{ending}'
    assert run(scans, target, '--channels=color') == 0
    printed = capsys.readouterr().out
    assert 'read 9 clouds (train' in printed
    assert 'of 2 classes: Stühle, cup' in printed
    assert 'points a cloud: 20 to 8,192, with red, green, blue' in printed
    assert 'formats: .pcd 8, .obj 1' in printed
    assert '1 are meshes: points were drawn from their surfaces' in printed
    assert f'wrote {target}: ' in printed
    for options in (
        {'normalize': True, 'channels': ('color',)},
        {'normalize': True, 'num_points': 16},
    ):
        expected = folder.load_splits(root=str(scans), **options)
        assert_equal(load_dataset('folder', root=str(target), **options), expected)
    with pytest.raises(UserError, match='it has no channel intensity; it has red, green, blue'):
        folder.load('train', root=str(target), channels=('intensity',))


@pytest.mark.parametrize('ending', ENDINGS)
def test_a_cloud_comes_back_equal(tmp_path, scans, capsys, ending):
    source, target = scans / 'cup' / '1.pcd', tmp_path / f'a{ending}'
    asked = ('color', 'intensity')
    assert run(source, target, f'--channels={",".join(asked)}') == 0
    np.testing.assert_array_equal(points.read(target, asked), points.read(source, asked))
    assert f'read {source}: 21 points, with red, green, blue, intensity' in capsys.readouterr().out


def test_clouds_without_classes_are_one_split(tmp_path, scans, capsys):
    (scans / 'cup' / 'broken.ply').write_bytes(b'ply')
    assert run(scans / 'cup', tmp_path / 'a.h5') == 1
    found = packed.read(tmp_path / 'a.h5').splits['clouds']
    assert found.names == ('0.pcd', '1.pcd', '2.pcd', '3.pcd', 'a.obj')
    np.testing.assert_array_equal(found.clouds[1], points.read(scans / 'cup' / '1.pcd'))
    assert 'broken.ply: no PLY header' in capsys.readouterr().out


def test_what_is_left_out_is_named_with_the_reason(tmp_path, scans, capsys):
    (scans / 'cup' / 'broken.ply').write_bytes(b'ply')
    (scans / 'cup' / 'other.glb').write_bytes(b'')
    (scans / 'cup' / 'README.txt').write_text('by hand')
    np.save(scans / 'cup' / 'flat.npy', np.ones((9, 3)))
    assert run(scans, tmp_path / 'a.npz') == 1
    printed = capsys.readouterr().out
    for text in (
        f'left out: {scans}/cup/broken.ply: no PLY header',
        'all points in one place: flat.npy',
        '1 files of data are not used: cup/other.glb',
        'left alone: 1 other files (README.txt)',
    ):
        assert text in printed
    with pytest.raises(UserError, match='1 of 11 files cannot be read'):
        run(scans, tmp_path / 'b.npz', '--unreadable=refuse')
    assert not (tmp_path / 'b.npz').exists()


def test_parts_come_back(tmp_path):
    r = np.random.default_rng(0)
    for index in range(5):
        (tmp_path / 'parts' / 'cup').mkdir(parents=True, exist_ok=True)
        table = np.c_[r.normal(size=(12 + index, 3)), np.arange(12 + index) % 2]
        np.savetxt(tmp_path / 'parts' / 'cup' / f'{index}.txt', table)
    assert run('part_folder', tmp_path / 'a.h5', f'--root={tmp_path / "parts"}') == 0
    expected = part_folder.load_splits(root=str(tmp_path / 'parts'))
    found = part_folder.load_splits(root=str(tmp_path / 'a.h5'))
    assert_equal(found, expected)
    assert found['train'].parts == expected['train'].parts


@pytest.mark.parametrize('ending', ENDINGS)
def test_a_data_set_by_its_name_comes_back_equal(tmp_path, ending):
    options = {'style': 'cad', 'num_points': 64, 'train_size': 30, 'test_size': 15}
    flags = [f'--{name}={value}' for name, value in options.items()]
    assert run('shapes', tmp_path / f'a{ending}', *flags) == 0
    expected = load_dataset('shapes', **options)
    found = part_folder.load_splits(root=str(tmp_path / f'a{ending}'), normalize=False)
    assert_equal(found, expected)
    places = folder.load('test', root=str(tmp_path / f'a{ending}')).points
    np.testing.assert_array_equal(places, expected['test'].points)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('none.ply', 'a.h5'), "no file, folder or data set 'none.ply'; data sets are domains, f"),
        (('.', 'a.ply'), r"ends in '.ply'; expected .h5 or .hdf5 or .npz"),
        (('.', 'none/a.h5'), 'there is no folder .*none'),
        (('.', 'there.h5'), 'it exists; give another name, or --overwrite'),
        (('empty', 'a.h5'), 'empty has no cloud: expected files that end in .npy'),
    ],
)
def test_a_mistake_is_told_and_nothing_written(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'there.h5').touch()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert {path.name for path in tmp_path.iterdir()} == {'there.h5', 'empty'}


def test_a_packed_file_whose_arrays_do_not_fit_is_refused(tmp_path):
    clouds = packed.PackedSplit([np.eye(3), np.ones((2, 3))], np.array([0, 1]), ('a', 'b'))
    arrays = packed.pack(packed.Packed({'train': clouds}, ('cup', 'pot')))
    for change, message in (
        ({'train.sizes': np.array([3, 3])}, 'sizes do not add up to the 5 points'),
        ({'train.labels': np.array([0, 2])}, 'labels are not all of the 2 classes'),
        ({'train.names': np.array([b'a'])}, '2 sizes, 2 labels and 1 names'),
        ({'train.points': np.ones((5, 4))}, r'are float64 \[5, 4\]; expected \[points, 3\]'),
    ):
        packed.write(tmp_path / 'a.npz', {**arrays, **change})
        with pytest.raises(UserError, match=message):
            packed.read(tmp_path / 'a.npz')
    packed.write(tmp_path / 'a.npz', arrays)
    with pytest.raises(UserError, match='it has no split test'):
        folder.load('train', root=str(tmp_path / 'a.npz'))
