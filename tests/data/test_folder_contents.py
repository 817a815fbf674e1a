"""Whatever lies in a data set's folder is used, or counted and named as unused."""

import unicodedata

import h5py
import numpy as np
import pytest

from point_ft_jax.commands import check_data
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import folder
from point_ft_jax.data.files import inventory
from point_ft_jax.data.files import points as point_files

RNG = np.random.default_rng(0)


def cloud(path, size=16, scale=1.0):
    """Saves a cloud that is like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, scale * RNG.normal(size=(size, 3)))


@pytest.fixture
def root(tmp_path):
    """Two classes with a split of 3 and 2 clouds each, and no more."""
    for split, count in (('train', 3), ('test', 2)):
        for name in ('bag', 'cup'):
            for index in range(count):
                cloud(tmp_path / split / name / f'{index}.npy')
    return tmp_path


def checked(root, capsys, status=0, **options):
    """What check_data prints of a folder."""
    flags = [f'--{name}={value}' for name, value in options.items()]
    assert check_data.main(['folder', f'--root={root}', *flags]) == status
    return capsys.readouterr().out


def loaded(root):
    return sum(map(len, folder.load_splits(root=str(root)).values()))


def test_a_good_set_is_described_in_a_page(root, capsys):
    for index in range(60):
        cloud(root / 'train' / f'class {index}' / 'a.npy')
    for index in range(60):
        cloud(root / 'test' / f'class {index}' / 'b.npy')
    out = checked(root, capsys)
    assert len(out.splitlines()) < 20
    assert 'class 59 1/1' in out
    assert 'note' not in out
    assert out.endswith('no problems\n')


@pytest.mark.parametrize('ending', ['fbx', 'parquet', 'pickle', 'ply.bz2', '7z', 'vtk'])
def test_data_in_other_formats_are_named(root, capsys, ending):
    (root / 'train' / 'bag' / f'more.{ending}').write_bytes(b'more')
    out = checked(root, capsys)
    assert f'1 files of data are not used: train/bag/more.{ending}' in ' '.join(out.split())


@pytest.mark.parametrize('place', ['train/bag/scans', 'train', '.', 'val/bag', 'train/bag/a/b'])
def test_clouds_in_other_places_are_counted_and_named(root, capsys, place):
    for index in range(40):
        cloud(root / place / f'more {index}.npy')
    with pytest.warns(UserWarning, match=r'40 files of data are not used: .*more 0\.npy') as caught:
        assert loaded(root) == 10
    assert f'{place.removeprefix("./")}/ 40' in str(caught[0].message)
    assert '40 files of data are not used' in checked(root, capsys)


@pytest.mark.parametrize('name', ['a.glb', 'a.PTX', 'a.mat', 'a.pt'])
def test_clouds_in_other_formats_are_counted_and_named(root, capsys, name):
    (root / 'train/cup' / name).write_bytes(b'something')
    with pytest.warns(UserWarning, match=f'1 files of data are not used: train/cup/{name}'):
        assert loaded(root) == 10
    assert f'train/cup/{name}' in checked(root, capsys)


@pytest.mark.parametrize('name', ['train.txt', 'my_split.json', 'names.lst', 'val.csv'])
def test_lists_are_not_followed_with_a_word(root, capsys, name):
    for index in range(3):
        cloud(root / f'train/bag/bag_{index}.npy')
    (root / name).write_text('bag/bag_0.npy\nbag/bag_1.npy\n')
    with pytest.warns(UserWarning, match=f'lists that are not followed: {name}'):
        assert loaded(root) == 13
    assert f'lists that are not followed: {name}' in checked(root, capsys)


LEFT = {
    'README.txt': b'These are clouds of bags.\nMade in 3 days by 2 people.\n',
    'LICENSE.txt': b'Do what you like.\n',
    'readme.txt': b'The folder of 3 scans holds 1 2 3\n',
    'sizes.txt': b'points of all classes\nbag with most\nbag 1 2 3\n',
    'notes.csv': b'name,who\nbag,me\n',
    'photo.png': b'\x89PNG',
    '.DS_Store': b'\0\0',
    '._0.npy': b'\0\5\26\7',
    'Thumbs.db': b'\0',
    '__MACOSX/0.npy': b'\0',
    '__MACOSX/._a.txt': b'\0',
    '.git/a.npy': b'',
}


@pytest.mark.parametrize('name', LEFT)
@pytest.mark.parametrize('place', ['train/bag', 'test', '.'])
def test_documents_and_files_of_the_system_are_left_alone_and_counted(root, capsys, name, place):
    path = root / place / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(LEFT[name])
    assert loaded(root) == 10
    out = checked(root, capsys)
    assert f'left alone: 1 {"files of the system" if name[0] in "._T" else "other files"}' in out
    assert path.name in out


def test_an_empty_or_a_broken_text_file_is_no_document(tmp_path):
    for name, content in (('a.txt', b''), ('b.txt', b'\0\1'), ('c.txt', b'x y z\n1 2 3\n')):
        (tmp_path / name).write_bytes(content)
        assert not inventory.is_document(tmp_path / name)
        assert point_files.is_cloud(tmp_path / name)


def test_names_in_two_spellings_are_one_class(tmp_path):
    for form, split in (('NFC', 'train'), ('NFD', 'test')):
        for index in range(2):
            cloud(tmp_path / split / unicodedata.normalize(form, 'Stühle') / f'{index}.npy')
    splits = folder.load_splits(root=str(tmp_path))
    assert splits['train'].classes == splits['test'].classes == ('Stühle',)
    assert splits['test'].names == ('test/Stühle/0.npy', 'test/Stühle/1.npy')


def test_capitals_of_the_splits_do_not_matter(tmp_path):
    cloud(tmp_path / 'Train/bag/a.npy')
    cloud(tmp_path / 'TEST/bag/b.npy')
    assert loaded(tmp_path) == 2


def write_h5(path, **arrays):
    with h5py.File(path, 'w') as file:
        for name, array in arrays.items():
            file[name] = array


def test_capitals_of_h5_files_do_not_matter_and_other_arrays_are_named(tmp_path, capsys):
    for name in ('Train.h5', 'test.HDF5'):
        points = RNG.normal(size=(2, 9, 3))
        write_h5(tmp_path / name, data=points, label=np.array([0, 0]), normal=points)
    assert loaded(tmp_path) == 4
    assert 'note: Train.h5 has arrays that are not used: normal' in checked(tmp_path, capsys)


@pytest.mark.parametrize('shape', [(3, 50), (6, 50), (3, 4)])
@pytest.mark.parametrize('name', ['a.npy', 'a.npz', 'a.txt'])
def test_a_cloud_on_its_side_is_refused(tmp_path, name, shape):
    writer = {'a.npy': np.save, 'a.npz': np.savez, 'a.txt': np.savetxt}[name]
    writer(tmp_path / name, RNG.normal(size=shape))
    with pytest.raises(UserError, match=rf'{shape[1]} columns and {shape[0]} rows; .*swap the ax'):
        point_files.read(tmp_path / name)


def test_h5_clouds_on_their_side_are_refused(tmp_path):
    for split in ('train', 'test'):
        points = RNG.normal(size=(2, 3, 50))
        write_h5(tmp_path / f'{split}.h5', data=points, label=np.array([0, 0]))
    with pytest.raises(UserError, match=r'shape \[2, 3, 50\].*swap the last two axes'):
        folder.load('train', root=str(tmp_path))


NAN = np.array([[0, 0, np.nan], [1, 2, 3], [2, 3, np.inf], [4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize('name', ['a.npy', 'a.txt'])
def test_points_that_are_no_numbers_are_refused_or_dropped(root, name):
    writer = {'a.npy': np.save, 'a.txt': np.savetxt}[name]
    writer(root / 'train/bag' / name, NAN)
    with pytest.raises(UserError, match=r"2 of 5 points are NaN, .* set nonfinite='drop'"):
        folder.load('train', root=str(root))
    data = folder.load('train', root=str(root), num_points=3, nonfinite='drop')
    assert data.points.shape == (7, 3, 3)
    with pytest.raises(UserError, match="nonfinite is 'keep'; expected one of refuse, drop"):
        folder.load('train', root=str(root), nonfinite='keep')


def test_points_of_h5_files_are_dropped_too(tmp_path):
    points = RNG.normal(size=(2, 9, 3))
    write_h5(tmp_path / 'train.h5', data=points, label=np.array([0, 0]))
    points[1, :4, 2] = np.nan
    write_h5(tmp_path / 'test.h5', data=points, label=np.array([0, 0]))
    with pytest.raises(UserError, match='NaN or infinite coordinates in 1 clouds'):
        folder.load('test', root=str(tmp_path))
    assert folder.load('test', root=str(tmp_path), nonfinite='drop').points.shape == (2, 5, 3)


def test_what_check_data_says_of_the_clouds_themselves(tmp_path, capsys):
    for index in range(6):
        cloud(tmp_path / f'train/bag/{index}.npy', size=50)
        cloud(tmp_path / f'train/cup/{index}.npy', size=50, scale=1000)
        cloud(tmp_path / f'test/bag/{index}.npy', size=50)
    cloud(tmp_path / 'test/bag/small.npy', size=9)
    cloud(tmp_path / 'test/bag/wide.npy', size=50, scale=100)
    same = np.load(tmp_path / 'train/bag/3.npy')
    np.savetxt(tmp_path / 'test/bag/again.txt', same[::-1])
    np.save(tmp_path / 'train/cup/again.npy', same)
    np.save(tmp_path / 'train/bag/far.npy', np.add(same, (0, 5_000_000, 0)))
    out = checked(tmp_path, capsys, normalize='true')
    for text in (
        'points a cloud: 9 to 50, median 50; less than half of it or more than twice: test/bag/sma',
        '1 clouds of test are also in train',
        'test/bag/again.txt',
        'clouds have two labels: train/bag/3.npy (bag) = ',
        'clouds occur more than once in train: ',
        '1 clouds lie more than 100 times their extent from the origin: train/bag/far.npy',
        'classes of another size than the others',
        'test/bag/wide.npy',
        'test has no cloud of cup',
    ):
        assert text in out, text


def test_a_cloud_of_an_unlucky_name_is_a_cloud(tmp_path):
    (tmp_path / 'notice.txt').write_text('1 2 3\n4 5 6\n')
    assert point_files.is_cloud(tmp_path / 'notice.txt')


def test_folders_behind_links_are_counted_and_links_in_circles_end(root, tmp_path_factory, capsys):
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    cloud(elsewhere / 'more' / 'a.npy')
    (root / 'train' / 'bag' / 'linked').symlink_to(elsewhere)
    (root / 'train' / 'bag' / 'circle').symlink_to(root)
    out = checked(root, capsys)
    assert '1 files of data are not used: train/bag/linked/more/a.npy' in out


@pytest.mark.parametrize('place', ['one/', 'one/two/', 'one/two/train/', 'data/train/'])
def test_classes_further_down_are_found_for_the_message(tmp_path, place):
    for index in range(2):
        cloud(tmp_path / place / 'bag' / f'{index}.npy')
        if 'train' in place:
            cloud(tmp_path / place.replace('train', 'test') / 'bag' / f'{index}.npy')
    expected = tmp_path / place.replace('train/', '')
    with pytest.raises(UserError, match=f'lie further down: set root to {expected}$'):
        loaded(tmp_path)


def test_a_split_that_is_missing_is_said_with_what_there_is(tmp_path):
    cloud(tmp_path / 'train/bag/a.npy')
    cloud(tmp_path / 'val/bag/a.npy')
    with pytest.raises(UserError, match=r'no class folders in .*test; .* holds train/, val/'):
        loaded(tmp_path)
