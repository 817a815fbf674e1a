"""The builders give back what the readers read, bit for bit, and without TensorFlow."""

import sys

import h5py
import numpy as np
import pytest
from ml_collections import ConfigDict

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import modelnet40, scanobjectnn, tfds
from point_ft_jax.experiments import build


def write(path, count, classes):
    rng = np.random.default_rng(count)
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, 'w') as file:
        file['data'] = rng.normal(size=(count, 2048, 3)).astype(np.float32)
        file['label'] = rng.permutation(np.arange(count) % classes)


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A small ScanObjectNN, OBJ_BG alone, that passes for the official one."""
    monkeypatch.setitem(scanobjectnn.COUNTS, 'obj_bg', {'train': 40, 'test': 20})
    write(tmp_path / 'main_split' / 'training_objectdataset.h5', 40, 15)
    write(tmp_path / 'main_split' / 'test_objectdataset.h5', 20, 15)
    return str(tmp_path)


def assert_same(prepared, read):
    np.testing.assert_array_equal(prepared.points, read.points)
    np.testing.assert_array_equal(prepared.labels, read.labels)
    assert prepared.points.dtype == np.float32
    assert prepared.labels.dtype == np.int32
    assert prepared.classes == read.classes


def test_scan_object_nn_comes_back_bit_for_bit(scans, tmp_path):
    name, data_dir = 'scan_object_nn/obj_bg', str(tmp_path / 'tfds')
    path = tfds.prepare(name, data_dir, scans)
    assert path.is_relative_to(data_dir)
    for split in ('train', 'test'):
        read = scanobjectnn.load(split, root=scans, variant='obj_bg')
        assert_same(tfds.load(split, dataset=name, data_dir=data_dir), read)
    assert tfds.prepare(name, data_dir, scans) == path
    assert 'tensorflow' not in sys.modules


def test_a_config_names_it(scans, tmp_path):
    section = ConfigDict({'name': 'tfds', 'dataset': 'scan_object_nn/obj_bg'})
    with pytest.raises(UserError, match=r'data_dir is not set: give --config\.data\.data_dir='):
        build.read(section)
    section.data_dir = str(tmp_path / 'tfds')
    tfds.prepare(section.dataset, section.data_dir, scans)
    found = build.read(section)
    assert_same(found['test'], scanobjectnn.load('test', root=scans, variant='obj_bg'))


def test_modelnet40_comes_back_bit_for_bit(tmp_path, monkeypatch):
    for split, count in (('train', 50), ('test', 40)):
        monkeypatch.setitem(modelnet40.COUNTS, split, (count,))
        write(tmp_path / f'ply_data_{split}0.h5', count, 40)
    name, data_dir = 'model_net40/hdf5_2048', str(tmp_path / 'tfds')
    tfds.prepare(name, data_dir, str(tmp_path))
    for split in ('train', 'test'):
        read = modelnet40.load(split, root=str(tmp_path))
        assert_same(tfds.load(split, dataset=name, data_dir=data_dir), read)


def test_what_the_reader_finds_wrong_ends_the_preparation(scans, tmp_path):
    name, data_dir = 'scan_object_nn/pb_t50_rs', str(tmp_path / 'tfds')
    with pytest.raises(UserError, match='no file training_objectdataset_augmentedrot'):
        tfds.prepare(name, data_dir, scans)
    with pytest.raises(UserError, match=r'is not prepared in .*; prepare it with .*tfds.prepare'):
        tfds.load('train', dataset=name, data_dir=data_dir)


def test_wrong_names(tmp_path):
    with pytest.raises(
        UserError, match='expected one of scan_object_nn/obj_bg, scan_object_nn/obj'
    ):
        tfds.load('train', dataset='scanobjectnn', data_dir=str(tmp_path))
    with pytest.raises(UserError, match='split is'):
        tfds.load('all', dataset='scan_object_nn/obj_bg', data_dir=str(tmp_path))
    with pytest.raises(UserError, match='no folder'):
        tfds.prepare('scan_object_nn/obj_bg', str(tmp_path), str(tmp_path / 'nowhere'))
