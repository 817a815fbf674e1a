"""The ModelNet40 reader: two releases, one result; caches that are never trusted to run code."""

import os
import pickle

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import modelnet40

CLASSES = modelnet40.CLASSES
RESAMPLED = 'modelnet40_normal_resampled'
HDF5 = 'modelnet40_ply_hdf5_2048'
SIZES = {'train': 40, 'test': 40}


def write_h5(root, clouds=40, **arrays):
    rng = np.random.default_rng(1)
    root.mkdir(exist_ok=True)
    for split in SIZES:
        for part in range(2):
            with h5py.File(root / f'ply_data_{split}{part}.h5', 'w') as file:
                points = rng.normal(size=(clouds, 64, 3)).astype(np.float32) + part
                labels = (np.arange(clouds) % 40)[:, None].astype(np.uint8)
                for key, value in ({'data': points, 'label': labels} | arrays).items():
                    file[key] = value


def write_texts(root, points=20):
    """One cloud a class and a split; returns each split's points, [40, points, 6]."""
    rng = np.random.default_rng(2)
    root.mkdir(exist_ok=True)
    (root / 'modelnet40_shape_names.txt').write_text('\n'.join(CLASSES) + '\n')
    clouds = {}
    for number, split in enumerate(SIZES):
        clouds[split] = rng.normal(size=(40, points, 6)).round(6)
        ids = [f'{name}_{number:04d}' for name in CLASSES]
        (root / f'modelnet40_{split}.txt').write_text('\n'.join(ids) + '\n')
        for name, identity, cloud in zip(CLASSES, ids, clouds[split], strict=True):
            (root / name).mkdir(exist_ok=True)
            np.savetxt(root / name / f'{identity}.txt', cloud, '%.6f', delimiter=',')
    return clouds


def load(root, split='train', **options):
    return modelnet40.load(split, root=str(root), official=False, **options)


def assert_in_unit_sphere(points):
    np.testing.assert_allclose(points.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(points, axis=2).max(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize('inside', [True, False])
def test_h5_files_in_order_and_normalised(tmp_path, inside):
    write_h5(tmp_path / HDF5)
    data = load(tmp_path / HDF5 if inside else tmp_path)
    assert data.points.shape == (80, 64, 3)
    np.testing.assert_array_equal(data.labels, np.tile(np.arange(40), 2))
    assert data.classes == CLASSES
    assert_in_unit_sphere(data.points)
    assert 'hdf5_2048' in modelnet40.describe('train', root=str(tmp_path))


def test_texts_are_reduced_to_the_farthest_points_and_cached(tmp_path):
    clouds = write_texts(tmp_path)['train'][..., :3].astype(np.float32)
    data = load(tmp_path, num_points=12)
    assert data.points.shape == (40, 12, 3)
    assert_in_unit_sphere(data.points)
    with np.load(tmp_path / 'modelnet40_train_12pts_fps.npz') as cache:
        for cloud, kept in zip(clouds, cache['points'], strict=True):
            chosen = [0]
            for _ in range(11):
                gaps = np.linalg.norm(cloud[:, None] - cloud[chosen], axis=2).min(axis=1)
                chosen.append(int(gaps.argmax()))
            np.testing.assert_array_equal(kept, cloud[chosen])
    for name in CLASSES:  # what is read from now on is the cache
        (tmp_path / name / f'{name}_0000.txt').unlink()
    np.testing.assert_array_equal(load(tmp_path, num_points=12).points, data.points)
    assert 'cache' in modelnet40.describe('train', root=str(tmp_path), num_points=12)


def test_the_cache_of_another_list_is_made_anew(tmp_path):
    write_texts(tmp_path)
    load(tmp_path, num_points=12)
    ids = (tmp_path / 'modelnet40_train.txt').read_text().split()
    (tmp_path / 'modelnet40_train.txt').write_text('\n'.join(ids[::-1]))
    np.testing.assert_array_equal(load(tmp_path, num_points=12).labels, np.arange(40)[::-1])


def test_a_damaged_cache_is_made_anew_and_said_so(tmp_path):
    write_texts(tmp_path)
    points = load(tmp_path, num_points=12).points
    (tmp_path / 'modelnet40_train_12pts_fps.npz').write_bytes(b'PK nothing')
    with pytest.warns(UserWarning, match='12pts_fps.npz cannot be read, and is made again: '):
        np.testing.assert_array_equal(load(tmp_path, num_points=12).points, points)


def test_a_read_only_root_is_cached_in_the_users_folder(tmp_path, monkeypatch):
    write_texts(tmp_path / 'data')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(os, 'access', lambda *_: False)
    load(tmp_path / 'data', num_points=12)
    assert not list((tmp_path / 'data').glob('*.npz'))
    assert len(list((tmp_path / 'cache').rglob('modelnet40_train_12pts_fps.npz'))) == 1


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_published_cache_comes_first(tmp_path, protocol):
    write_texts(tmp_path)
    clouds = np.random.default_rng(3).normal(size=(40, 8192, 6)).astype(np.float32)
    content = [list(clouds), [np.array([label], np.int32) for label in range(40)]]
    path = tmp_path / 'modelnet40_test_8192pts_fps.dat'
    path.write_bytes(pickle.dumps(content, protocol))
    data = load(tmp_path, 'test')
    centred = clouds[..., :3] - clouds[..., :3].mean(axis=1, keepdims=True)
    scale = np.linalg.norm(centred, axis=2).max(axis=1)[:, None, None]
    np.testing.assert_allclose(data.points, centred / scale, atol=1e-6)
    np.testing.assert_array_equal(data.labels, np.arange(40))


class Hostile:
    def __reduce__(self):
        return os.system, ('touch hacked',)


PICKLES = {
    'hostile': (pickle.dumps([[Hostile()], []]), r'refused, nothing of it was run.*posix\.system'),
    'objects': (pickle.dumps(np.array([{}], object)), r"refused.*arrays of 'O8'; expected numbers"),
    'truncated': (pickle.dumps([[np.zeros(9)]])[:60], 'no readable pickle of arrays.*delete it'),
    'no pickle': (b'<html>', 'no readable pickle of arrays'),
    'other content': (pickle.dumps([1, 2, 3]), 'not a list of clouds and a list of labels'),
    'uneven': (
        pickle.dumps([[np.zeros((9, 6)), np.zeros((8, 6))], [np.zeros(1, int)] * 2]),
        'not a list of clouds and a list of labels.*same shape',
    ),
}


@pytest.mark.parametrize(('content', 'message'), PICKLES.values(), ids=PICKLES)
def test_bad_published_cache(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path)
    (tmp_path / 'modelnet40_train_8192pts_fps.dat').write_bytes(content)
    with pytest.raises(UserError, match=f'(?s){message}'):
        load(tmp_path)
    assert not (tmp_path / 'hacked').exists()


def rewrite(name, text):
    return lambda root: (root / name).write_text(text)


def break_three(root):
    (root / 'bed/bed_0000.txt').write_text('1,2,3\n4,five,6\n')
    (root / 'car/car_0000.txt').unlink()
    (root / 'cup/cup_0000.txt').write_text('1,2,3\n')


TEXTS = {
    'no list': (lambda root: (root / 'modelnet40_train.txt').unlink(), 'no file .*list of the'),
    'empty list': (rewrite('modelnet40_train.txt', '\n'), 'lists no cloud'),
    'unknown class': (rewrite('modelnet40_train.txt', 'boat_0001'), 'does not have: boat'),
    'several files': (
        break_three,
        '3 of 40 clouds .*five.*no file .*car_0000.txt.*cup_0000 has 1 points; expected at least',
    ),
}


@pytest.mark.parametrize(('change', 'message'), TEXTS.values(), ids=TEXTS)
def test_bad_text_tree(tmp_path, change, message):
    write_texts(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError, match=f'(?s){message}'):
        load(tmp_path, num_points=12)


def test_no_cache_is_left_behind_by_an_error(tmp_path):
    write_texts(tmp_path)
    break_three(tmp_path)
    with pytest.raises(UserError):
        load(tmp_path, num_points=12)
    assert not list(tmp_path.glob('*.npz')) + list(tmp_path.glob('*.tmp'))


def test_two_forms_need_a_choice(tmp_path):
    write_h5(tmp_path / HDF5)
    write_texts(tmp_path / RESAMPLED)
    with pytest.raises(UserError, match=r'two forms.*set form to hdf5_2048 or normal_resampled'):
        load(tmp_path)
    assert load(tmp_path, form='hdf5_2048').points.shape[1] == 64
    assert load(tmp_path, form='normal_resampled', num_points=9).points.shape[1] == 9
    with pytest.raises(UserError, match='num_points is 0; expected 1 or more'):
        load(tmp_path, form='normal_resampled', num_points=0)
    with pytest.raises(UserError, match='num_points=9 with hdf5_2048'):
        load(tmp_path, form='hdf5_2048', num_points=9)


def test_no_form_at_all(tmp_path):
    (tmp_path / 'notes.md').touch()
    with pytest.raises(UserError, match=r'no ModelNet40 .*ply_data_\*.h5.*holds notes.md'):
        load(tmp_path)
    with pytest.raises(UserError, match=r'form is .*expected one of auto, hdf5_2048, normal_re'):
        load(tmp_path, form='h5')


def test_counts_of_both_releases_are_official(tmp_path, monkeypatch):
    write_h5(tmp_path)
    with pytest.raises(UserError, match='80 clouds; the releases have 9,840 or 9,843'):
        modelnet40.load('train', root=str(tmp_path))
    for counts in ((80, 83), (77, 80)):
        monkeypatch.setitem(modelnet40.COUNTS, 'train', counts)
        assert len(modelnet40.load('train', root=str(tmp_path))) == 80


def test_other_class_names_are_no_modelnet40(tmp_path):
    write_h5(tmp_path)
    (tmp_path / 'shape_names.txt').write_text('\n'.join([*CLASSES[:39], 'boat']))
    with pytest.raises(UserError, match=r'differing: boat, xbox'):
        modelnet40.load('train', root=str(tmp_path))
    assert load(tmp_path).classes[-1] == 'boat'


def test_all_broken_h5_files_are_named(tmp_path):
    write_h5(tmp_path)
    (tmp_path / 'ply_data_train0.h5').write_bytes(b'<html>')
    (tmp_path / 'ply_data_train1.h5').write_bytes(b'')
    with pytest.raises(UserError, match=r'(?s)train0.h5 is an HTML page.*train1.h5 is an empty'):
        load(tmp_path)
    (tmp_path / 'ply_data_test0.h5').unlink()
    (tmp_path / 'ply_data_test1.h5').unlink()
    with pytest.raises(UserError, match=r'no file ply_data_test\*.h5'):
        load(tmp_path, 'test')


def test_h5_files_that_do_not_fit_together(tmp_path):
    write_h5(tmp_path)
    with h5py.File(tmp_path / 'ply_data_train1.h5', 'a') as file:
        del file['data']
        file['data'] = np.zeros((40, 32, 3))
    with pytest.raises(UserError, match=r'do not fit together: .*\(32, 3\), \(64, 3\)'):
        load(tmp_path)
