"""Messages name what was found: sound files and folders in another place, order or state."""

import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import (
    folder,
    modelnet40,
    part_folder,
    scanobjectnn,
    shapenetpart,
)
from point_ft_jax.data.files import h5
from point_ft_jax.data.split import Split

RNG = np.random.default_rng(0)


def cloud(path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, RNG.normal(size=(9, 3)))


PLACES = {
    'class/split': (
        ['chair/train/a', 'chair/test/b', 'cup/train/a', 'cup/test/b'],
        r'found <class>/<split>/, such as chair/test, .*rename chair/test to test/chair',
    ),
    'nested twice': (['data/chair/a', 'data/cup/b'], r'set root to .*/data'),
    'splits of other names': (['training/a/a', 'testing/a/a'], 'testing, training may be splits'),
    'train alone': (['train/a/a'], 'no class folders in .*test'),
    'two spellings of a split': (['train/a/a', 'Train/a/a'], 'keep one of them'),
}


@pytest.mark.parametrize('reader', [folder, part_folder], ids=['folder', 'part_folder'])
@pytest.mark.parametrize(('names', 'message'), PLACES.values(), ids=PLACES)
def test_folders_in_another_order(tmp_path, reader, names, message):
    for name in names:
        cloud(tmp_path / f'{name}.npy')
    with pytest.raises(UserError, match=f'(?s){message}'):
        reader.load('train', root=str(tmp_path))


@pytest.mark.parametrize('depth', [2, 3])
def test_a_release_that_was_unpacked_into_a_folder_of_its_name(tmp_path, depth):
    place = tmp_path.joinpath(*['modelnet40_ply_hdf5_2048'] * depth)
    place.mkdir(parents=True)
    (place / 'ply_data_train0.h5').touch()
    with pytest.raises(UserError, match=f'lies further down in .*: set root to {place}$'):
        modelnet40.load('train', root=str(tmp_path))


def test_the_first_release_of_shapenetpart_is_named(tmp_path):
    old = tmp_path / 'shapenetcore_partanno_segmentation_benchmark_v0'
    (old / '02691156' / 'points').mkdir(parents=True)
    (old / '02691156' / 'points' / 'a.pts').touch()
    (old / 'synsetoffset2category.txt').write_text('Airplane 02691156\n')
    for root in (tmp_path, old):
        with pytest.raises(UserError, match=f'{old} holds ShapeNetPart v0, .*; expected shapenetc'):
            shapenetpart.load('train', root=str(root))


def write_h5(path: pathlib.Path, labels: list[int]) -> None:
    with h5py.File(path, 'w') as file:
        file['data'], file['label'] = RNG.normal(size=(len(labels), 50, 3)), np.array(labels)


def test_labels_that_start_at_1(tmp_path):
    for split in ('train', 'test'):
        write_h5(tmp_path / f'{split}.h5', [1, 2, 3])
    with pytest.raises(UserError, match='or do the labels start at 1'):
        folder.load('train', root=str(tmp_path))
    (tmp_path / 'shape_names.txt').write_text('bag\ncup\nbed\n')
    with pytest.raises(UserError, match='they seem to start at 1: subtract 1'):
        folder.load('train', root=str(tmp_path))
    with pytest.raises(UserError, match='or do the labels start at 1'):
        Split.from_arrays(RNG.normal(size=(2, 9, 3)), [1, 2])


WRITER = """
import h5py, sys
file = h5py.File(sys.argv[1], 'a')
print('open', flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_writes_is_not_damaged(tmp_path):
    path = tmp_path / 'a.h5'
    write_h5(path, [0])
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    with subprocess.Popen([sys.executable, '-c', WRITER, str(path)], **pipes) as writer:
        writer.stdout.readline()
        with pytest.raises(UserError, match='is open in another program that writes it') as caught:
            h5.read(path)
        writer.stdin.close()
    assert 'download' not in str(caught.value)
    assert len(h5.read(path)[1]) == 1


def test_a_file_of_which_a_part_is_missing_or_too_new(tmp_path):
    path = tmp_path / 'a.h5'
    write_h5(path, [0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match='is cut off: its end is missing'):
        h5.read(path)
    path.write_bytes(whole[:8] + b'\x09' + whole[9:])
    with pytest.raises(UserError, match='of a newer version of HDF5'):
        h5.read(path)


@pytest.mark.parametrize(
    ('reason', 'message'),
    [
        ('[Errno 5] Input/output error', 'on a disk that does not answer'),
        ('[Errno 116] Stale file handle', 'on a disk that does not answer'),
        ('[Errno 12] Cannot allocate memory', 'more than there is memory for'),
        ('bad object header version number', 'of a newer version of HDF5 than the one installed'),
        ("required filter 'lz4' is not registered", 'packed by a filter that is not installed'),
    ],
)
def test_a_reason_that_is_no_damage_is_told(tmp_path, monkeypatch, reason, message):
    def fails(*_: object) -> None:
        raise OSError(f'Unable to synchronously open file ({reason})')

    write_h5(tmp_path / 'a.h5', [0])
    monkeypatch.setattr(h5py, 'File', fails)
    with pytest.raises(UserError, match=f'a.h5 is {message}'):
        h5.read(tmp_path / 'a.h5')


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / 'a.h5').mkdir()
    (tmp_path / 'b.h5').symlink_to(tmp_path / 'c.h5')
    for name, message in (
        ('a', 'is a folder'),
        ('b', 'is a link that leads nowhere'),
        ('c', 'no f'),
    ):
        with pytest.raises(UserError, match=message):
            h5.read(tmp_path / f'{name}.h5')


def test_scans_further_down_or_in_capitals_are_named(tmp_path):
    name = 'main_split/training_objectdataset.h5'
    for place in (
        tmp_path / 'a' / name,
        tmp_path / 'b' / 'Main_Split' / 'Training_objectdataset.h5',
    ):
        place.parent.mkdir(parents=True)
        place.touch()
    with pytest.raises(UserError, match=f'found .*{name}: set root to {tmp_path / "a"},'):
        scanobjectnn.load('train', root=str(tmp_path))
    with pytest.raises(UserError, match=f'found .*Main_Split/T.*: set root to {tmp_path / "b"},'):
        scanobjectnn.load('train', root=str(tmp_path / 'b'))
