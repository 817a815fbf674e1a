"""Folders of one's own clouds: three layouts, one size, the same split and points in every run."""

import pathlib
import unicodedata
import zlib

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import _class_folders, folder


def write_classes(root, counts, sizes=(20,)):
    """`counts` clouds a class as .npy, of the sizes in turn; no two are alike."""
    for name, count in counts.items():
        rng = np.random.default_rng(zlib.crc32(f'{root.name}/{name}'.encode()))
        (root / name).mkdir(parents=True)
        for index in range(count):
            cloud = rng.normal(size=(sizes[index % len(sizes)], 3)).astype(np.float32)
            np.save(root / name / f'{index}.npy', cloud)


def write_h5(path, points, labels):
    with h5py.File(path, 'w') as file:
        file['data'], file['label'] = points, labels


def clouds(data):
    return {cloud.tobytes() for cloud in data.points}


def load(root, split='train', **options):
    return folder.load(split, root=str(root), **options)


def test_class_folders_are_divided_by_class_without_overlap(tmp_path):
    write_classes(tmp_path, {'table': 10, 'chair': 5, 'bag': 2})
    train, test = load(tmp_path), load(tmp_path, 'test')
    assert train.classes == test.classes == ('bag', 'chair', 'table')
    counts = [np.bincount(data.labels) for data in (train, test)]
    assert sum(counts).tolist() == [2, 5, 10]
    assert min(map(min, counts)) >= 1
    assert len(clouds(train) | clouds(test)) == 17
    assert clouds(load(tmp_path, 'test')) == clouds(test)
    assert clouds(load(tmp_path, 'test', seed=1)) != clouds(test)


def test_what_is_added_moves_no_cloud_to_the_other_side(tmp_path):
    write_classes(tmp_path, {'chair': 30, 'cup': 25})
    before = {split: clouds(load(tmp_path, split)) for split in ('train', 'test')}
    write_classes(tmp_path, {'airplane': 4})
    for name in ('chair', 'cup'):
        for index in range(5):
            np.save(
                tmp_path / name / f'a {index}.npy', np.random.default_rng(index).random((20, 3))
            )
    for split, other in (('train', 'test'), ('test', 'train')):
        assert not before[split] & clouds(load(tmp_path, other))
        assert before[split] < clouds(load(tmp_path, split))


def test_a_cloud_keeps_its_side_in_another_format_and_another_spelling():
    composed, letters = (
        unicodedata.normalize('NFC', 'Stühle'),
        unicodedata.normalize('NFD', 'Stühle'),
    )
    assert composed != letters
    assert _class_folders.position(composed, 'é', 0) == _class_folders.position(letters, 'é', 0)
    place = pathlib.Path('cup')
    sides = [
        _class_folders._sides([place / f'{i}{ending}' for i in range(40)], 'cup', 0.3, 0)
        for ending in ('.ply', '.npy')
    ]
    stems = [[path.stem for path in side['test']] for side in sides]
    assert stems[0] == stems[1]
    assert 5 < len(stems[0]) < 20


def test_split_folders_keep_their_split_and_the_classes_of_train(tmp_path):
    write_classes(tmp_path / 'train', {'bag': 2, 'chair': 3})
    write_classes(tmp_path / 'test', {'chair': 1})
    assert load(tmp_path).labels.tolist() == [0, 0, 1, 1, 1]
    test = load(tmp_path, 'test')
    assert (test.labels.tolist(), test.classes) == ([1], ('bag', 'chair'))


def test_clouds_are_reduced_to_the_smallest_of_both_splits(tmp_path):
    write_classes(tmp_path / 'train', {'bag': 3}, sizes=(30, 20))
    write_classes(tmp_path / 'test', {'bag': 2}, sizes=(16, 40))
    data = load(tmp_path)
    assert data.points.shape == (3, 16, 3)
    source = np.load(tmp_path / 'train/bag/0.npy')
    rows = [np.flatnonzero((source == point).all(axis=1)).item() for point in data.points[0]]
    assert rows == sorted(set(rows))  # each a point of the file, none twice, in the file's order
    np.testing.assert_array_equal(load(tmp_path, num_points=16).points, data.points)
    assert (load(tmp_path, num_points=16, seed=1).points != data.points).any()


def test_one_cloud_of_few_points_is_named_and_costs_no_more_than_the_model_takes(tmp_path):
    write_classes(tmp_path, {'bag': 4}, sizes=(40, 30))
    np.save(tmp_path / 'bag' / 'odd.npy', np.eye(3))
    message = 'every cloud keeps 3 points, since bag/odd.npy has 3, and half of them have 30'
    with pytest.warns(UserWarning, match=message):
        assert load(tmp_path).points.shape[1] == 3
    assert any(message in note for note in folder.examine(root=str(tmp_path))[1])
    with pytest.warns(UserWarning, match=r'repeated: bag/odd.npy \(3\)'):
        assert load(tmp_path, fewest=25).points.shape[1] == 25
    (tmp_path / 'bag' / 'odd.npy').unlink()
    assert load(tmp_path, fewest=25).points.shape[1] == 30  # what all of them have


def test_formats_mix_and_other_files_are_left_alone(tmp_path):
    write_classes(tmp_path, {'bag': 2})
    (tmp_path / 'bag' / 'extra.xyz').write_text('0 0 0\n' * 19 + '1 2 3\n')
    (tmp_path / 'bag' / 'mesh.glb').touch()
    (tmp_path / '.git').mkdir()
    (tmp_path / 'bag' / '.DS_Store').touch()
    with pytest.warns(UserWarning, match=r'1 files of data are not used: bag/mesh.glb \(by folder'):
        splits = folder.load_splits(root=str(tmp_path))
    assert sum(map(len, splits.values())) == 3


def test_h5_with_names_and_normals(tmp_path):
    points = np.random.default_rng(0).normal(size=(6, 10, 6))
    for split in ('train', 'test'):
        write_h5(tmp_path / f'{split}.h5', points, np.array([0, 1, 2, 0, 1, 2]))
    assert load(tmp_path).classes == ('0', '1', '2')
    (tmp_path / 'shape_names.txt').write_text('small bag\nchair\ntable\n')
    data = load(tmp_path)
    np.testing.assert_array_equal(data.points, points[..., :3].astype(np.float32))
    assert data.classes == ('small bag', 'chair', 'table')
    assert load(tmp_path, num_points=4).points.shape == (6, 4, 3)


def test_h5_of_two_sizes_meet_at_the_smaller(tmp_path):
    rng = np.random.default_rng(0)
    write_h5(tmp_path / 'train.h5', rng.normal(size=(2, 10, 3)), np.array([0, 1]))
    write_h5(tmp_path / 'test.h5', rng.normal(size=(2, 8, 3)), np.array([0, 1]))
    assert load(tmp_path).points.shape == load(tmp_path, 'test').points.shape == (2, 8, 3)


def test_the_points_of_clouds_smaller_than_asked_for_are_repeated_with_a_warning(tmp_path):
    write_classes(tmp_path, {'bag': 4})
    for index in range(9):
        np.save(tmp_path / 'bag' / f'small{index}.npy', np.eye(3))
    with pytest.warns(
        UserWarning, match=r'fewer than num_points=9.*repeated: bag/small\d.npy \(3\)'
    ):
        data = load(tmp_path, num_points=9)
    small = data.points[[name.startswith('bag/small') for name in data.names]]
    np.testing.assert_array_equal(small, np.broadcast_to(np.tile(np.eye(3), (3, 1)), small.shape))


def test_units_are_kept_unless_normalised(tmp_path):
    write_classes(tmp_path, {'bag': 4})
    raw, normal = load(tmp_path), load(tmp_path, normalize=True)
    assert np.linalg.norm(raw.points, axis=2).max() > 1.5
    np.testing.assert_allclose(normal.points.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normal.points, axis=2).max(axis=1), 1, rtol=1e-6)


def two_broken(root):
    (root / 'bag' / 'a.npy').write_bytes(b'nonsense')
    (root / 'bag' / 'b.ply').write_bytes(b'nonsense')


def divided_and_h5(root):
    write_classes(root / 'train', {'bag': 1})
    (root / 'test.h5').touch()


def class_of_test_only(root):
    write_classes(root / 'train', {'bag': 1})
    write_classes(root / 'test', {'boat': 1})


def lonely_train_h5(root):
    write_h5(root / 'train.h5', np.ones((2, 4, 3)), np.zeros(2, int))


def nameless_label(root):
    for split in ('train', 'test'):
        write_h5(root / f'{split}.h5', np.random.rand(2, 4, 3), np.array([0, 7]))
    (root / 'shape_names.txt').write_text('bag\nchair\n')


BAD = {
    'broken files': (
        two_broken,
        {},
        r'2 of 6 files .*a\.npy: no readable .npy.*b\.ply: no PLY header',
    ),
    'one cloud': (lambda r: write_classes(r, {'cup': 1}), {}, 'cup has 1 cloud; expected 2'),
    'no cloud': (lambda r: (r / 'cup').mkdir(), {}, r'cup has no cloud: found no file, .*\.npy'),
    'both layouts': (divided_and_h5, {}, 'both h5 files and folders of a split; keep one'),
    'test only': (class_of_test_only, {}, 'classes in test that train does not have: boat'),
    'no test folder': (lambda r: write_classes(r / 'train', {'b': 1}), {}, 'no class folders in'),
    'no test.h5': (lonely_train_h5, {}, 'no file .*test.h5'),
    'nameless label': (nameless_label, {}, 'labels out of range: 7; expected 0..1 for the 2 cl'),
    'options': (
        lambda root: None,
        {'num_points': 0, 'test_fraction': 1.0, 'seed': -1},
        'num_points is 0; .*test_fraction is 1.0; expected between 0 and 1.*seed is -1',
    ),
}


@pytest.mark.parametrize(('change', 'options', 'message'), BAD.values(), ids=BAD)
def test_bad_folder(tmp_path, change, options, message):
    write_classes(tmp_path, {'bag': 4})
    change(tmp_path)
    with pytest.raises(UserError, match=f'(?s){message}'):
        load(tmp_path, **options)


def test_an_empty_folder_says_what_it_could_hold(tmp_path):
    with pytest.raises(
        UserError, match=r'holds nothing; expected train.h5 and test.h5; or train/<cl'
    ):
        load(tmp_path)


def test_a_test_split_alone_is_read_for_a_model_that_knows_the_classes(tmp_path):
    write_classes(tmp_path / 'a' / 'test', {'chair': 2, 'bag': 1})
    points = np.random.default_rng(0).normal(size=(2, 10, 3))
    (tmp_path / 'b').mkdir()
    write_h5(tmp_path / 'b' / 'test.h5', points, np.array([0, 2]))
    known = ('bag', 'chair', 'table')
    for name, labels in (('a', [0, 1, 1]), ('b', [0, 2])):
        assert folder.is_test_alone(root=str(tmp_path / name))
        split = folder.load_test(known, root=str(tmp_path / name))
        assert sorted(split.labels.tolist()) == labels
        assert split.classes == known
    write_classes(tmp_path / 'a' / 'train', {'chair': 2})
    assert not folder.is_test_alone(root=str(tmp_path / 'a'))
    assert not folder.is_test_alone(root=str(tmp_path / 'none'))
