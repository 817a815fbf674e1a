"""The ScanObjectNN reader: its files are read as they are, and every wrong file is explained."""

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import scanobjectnn

NAME = 'training_objectdataset.h5'


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 2048, 3)).astype(np.float32)
    return {'data': points, 'label': np.arange(30) % 15}


def write(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        for key, value in arrays.items():
            file[key] = value


@pytest.mark.parametrize('above', ['', 'h5_files'])
@pytest.mark.parametrize(
    ('variant', 'place'),
    [
        ('obj_bg', 'main_split/{}_objectdataset.h5'),
        ('obj_only', 'main_split_nobg/{}_objectdataset.h5'),
        ('pb_t50_rs', 'main_split/{}_objectdataset_augmentedrot_scale75.h5'),
    ],
)
def test_each_variant_is_its_own_file_unchanged(tmp_path, clouds, variant, place, above):
    write(tmp_path / above / place.format('training'), clouds)
    write(tmp_path / above / place.format('test'), {k: v[:15] for k, v in clouds.items()})
    train = scanobjectnn.load('train', root=str(tmp_path), variant=variant, official=False)
    test = scanobjectnn.load('test', root=str(tmp_path), variant=variant, official=False)
    np.testing.assert_array_equal(train.points, clouds['data'])
    np.testing.assert_array_equal(train.labels, clouds['label'])
    assert (train.points.dtype, train.labels.dtype) == (np.float32, np.int32)
    assert len(test) == 15
    assert train.classes[::14] == ('bag', 'toilet')
    assert variant in scanobjectnn.describe('test', root=str(tmp_path), variant=variant)


def test_official_counts_are_demanded_by_default(tmp_path, clouds, monkeypatch):
    write(tmp_path / 'main_split' / NAME, clouds)
    with pytest.raises(UserError, match=r'30 clouds; the official split has 2,309.*`folder`'):
        scanobjectnn.load('train', root=str(tmp_path))
    monkeypatch.setitem(scanobjectnn.COUNTS, 'obj_bg', {'train': 30, 'test': 0})
    assert len(scanobjectnn.load('train', root=str(tmp_path))) == 30


def changed(**arrays):
    """A way to break a file: other arrays in it; None leaves one out."""

    def change(path, clouds):
        write(path, {k: v for k, v in (clouds | arrays).items() if v is not None})

    return change


def content(data):
    def change(path, clouds):
        path.write_bytes(data)

    return change


def with_points(edit):
    def change(path, clouds):
        edit(clouds['data'])
        write(path, clouds)

    return change


def truncated(path, clouds):
    write(path, clouds)
    path.write_bytes(path.read_bytes()[:5000])


def nan(points):
    points[[3, 7], 5, 0] = [np.nan, np.inf]


def flat(points):
    points[4] = 0


BAD = {
    'missing file': (lambda path, _: path.rename(path.with_name('x.h5')), r'no file .*holds x\.h5'),
    'web page': (content(b'<!DOCTYPE html><html>'), 'an HTML page, not HDF5.*download it again'),
    'git lfs': (content(b'version https://git-lfs.github.com/spec/v1'), 'git lfs pull'),
    'archive': (content(b'PK\x03\x04 and so on'), 'an archive, not HDF5; unpack it'),
    'empty file': (content(b''), 'an empty file'),
    'noise': (content(b'nothing of the kind'), 'no HDF5 file; expected an .h5 file'),
    'truncated': (truncated, 'cut off: its end is missing'),
    'wrong keys': (
        changed(data=None, label=None, points=np.zeros(3)),
        r'no array data, label; found the keys points, expected data, label',
    ),
    'group as key': (changed(label=None, **{'label/x': np.zeros(3)}), 'no array label'),
    'number as key': (changed(data=3.0), 'no array data'),
    'transposed': (changed(data=np.zeros((30, 3, 2048), 'f4')), r'\[30, 3, 2048\].*swap the last'),
    'with normals': (changed(data=np.zeros((30, 2048, 6), 'f4')), r'keep x, y, z with points'),
    'no clouds': (changed(data=np.zeros((0, 2048, 3)), label=np.zeros(0, int)), r'\[0, 2048, 3\]'),
    'text points': (changed(data=np.full((30, 4, 3), b'a')), r'points are \|S1; expected real'),
    'float labels': (changed(label=np.arange(30) % 15 / 1.0), 'labels are float64; expected int'),
    'one-hot labels': (changed(label=np.eye(15, dtype=int)), r'labels have shape \[15, 15\]'),
    'too few labels': (changed(label=np.arange(29) % 15), '30 clouds but 29 labels'),
    'labels from 1': (changed(label=np.arange(30) % 15 + 1), r'out of range: 15; .*subtract 1'),
    'negative label': (
        changed(label=np.arange(30) % 15 - 1),
        r'out of range: -1; expected 0\.\.14',
    ),
    'empty classes': (
        changed(label=np.arange(30) % 13),
        '2 of 15 classes have no cloud: sofa, toi',
    ),
    'nan': (with_points(nan), r'NaN or infinite coordinates in 2 clouds \(numbers 3, 7\)'),
    'flat': (with_points(flat), r'1 clouds have all points in one place \(numbers 4\)'),
}


@pytest.mark.parametrize(('change', 'message'), BAD.values(), ids=BAD)
def test_bad_file(tmp_path, clouds, change, message):
    path = tmp_path / 'main_split' / NAME
    write(path, clouds)
    change(path, clouds)
    with pytest.raises(UserError, match=f'(?s){message}'):
        scanobjectnn.load('train', root=str(tmp_path), official=False)


def test_all_problems_are_named_at_once(tmp_path, clouds):
    nan(clouds['data'])
    flat(clouds['data'])
    write(tmp_path / 'main_split' / NAME, clouds | {'label': np.arange(30)})
    with pytest.raises(UserError) as caught:
        scanobjectnn.load('train', root=str(tmp_path))
    assert str(caught.value).count('\n  - ') == 4
    assert str(tmp_path / 'main_split' / NAME) in str(caught.value)


def test_wrong_options(tmp_path):
    for options, message in [
        ({'root': str(tmp_path / 'a' / 'b')}, f'nearest that exists is {tmp_path}'),
        ({'root': str(tmp_path), 'variant': 'hardest'}, 'variant.*obj_bg, obj_only, pb_t50_rs'),
        ({'root': ''}, 'expected the folder of the data set'),
        ({'root': __file__}, 'is a file; expected the folder'),
    ]:
        with pytest.raises(UserError, match=message):
            scanobjectnn.load('train', **options)
    with pytest.raises(UserError, match="split is 'val'; expected one of train, test"):
        scanobjectnn.load('val', root=str(tmp_path))


def test_the_split_folder_itself_as_root_is_told(tmp_path, clouds):
    write(tmp_path / 'main_split' / NAME, clouds)
    with pytest.raises(UserError, match=f'give the folder above it, {tmp_path}'):
        scanobjectnn.load('train', root=str(tmp_path / 'main_split'))
