"""Files that say of themselves what they do not hold, and mutants: read or refused, at once."""

import fcntl
import json
import pathlib
from collections.abc import Callable

import fuzz
import h5py
import numpy as np
import pytest

from point_ft_jax.core import json_files
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import teachers
from point_ft_jax.data.files import h5, npy, points
from point_ft_jax.data.loader import load_dataset
from point_ft_jax.data.split import Split
from point_ft_jax.models import ModelSpec

CLOUD = np.arange(12, dtype=np.float32).reshape(4, 3)


def header(shape: str, descr: str = "'<f4'") -> bytes:
    """The head of an .npy file."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b'\n'
    return b'\x93NUMPY\x01\0' + len(text).to_bytes(2, 'little') + text


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (header('(1000000000000, 3)') + bytes(48), r'cut short: .*1000000000000x3 values'),
        (header('(4, 3)') + bytes(47), 'cut short'),
        (header('(-4, 3)') + bytes(48), 'its header gives it the shape'),
        (header('(4, True)') + bytes(48), 'its header gives it the shape'),
        (header('(0,) * 9') + bytes(48), 'no readable .npy file of numbers'),
        (header('(4, 3)', "[('x', '<f4')]") + bytes(48), r"it holds \[\('x', '<f4'\)\]"),
        (header('(4, 3)', "'|O'") + bytes(48), 'it holds object; expected numbers'),
        (header('(' * 3000) + bytes(48), 'no readable .npy file of numbers'),
        (b'PK\x03\x04' + bytes(48), "it starts with b'PK"),
    ],
)
def test_a_header_is_believed_as_far_as_the_file_bears_it_out(
    tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    (tmp_path / 'a.npy').write_bytes(content)
    with pytest.raises(UserError, match=rf'a\.npy: .*{message}'):
        points.read(tmp_path / 'a.npy')


def test_an_archive_may_not_unpack_to_far_more_than_its_size(tmp_path: pathlib.Path) -> None:
    np.savez_compressed(tmp_path / 'a.npz', points=np.zeros((6_000_000, 3), np.float32))
    assert (tmp_path / 'a.npz').stat().st_size < 10**5
    with pytest.raises(UserError, match='bytes and says that it holds 72,000,128; a file of'):
        points.read(tmp_path / 'a.npz')


def test_arrays_are_read_as_numpy_reads_them(tmp_path: pathlib.Path) -> None:
    for array in (CLOUD, np.asfortranarray(CLOUD), CLOUD.astype('>f8'), np.empty((0, 3)), CLOUD[0]):
        np.save(tmp_path / 'a.npy', array)
        np.savez_compressed(tmp_path / 'a.npz', array=array)
        for found in (
            npy.read(tmp_path / 'a.npy'),
            npy.read_named(tmp_path / 'a.npz', ['array'])['array'],
        ):
            np.testing.assert_array_equal(found, array, strict=True)


# ------------------------------------------------------------------ HDF5


def external_link(file: h5py.File) -> None:
    file['data'] = h5py.ExternalLink('other.h5', '/data')


def soft_link(file: h5py.File) -> None:
    file['data'] = h5py.SoftLink('/elsewhere')


def external_storage(file: h5py.File) -> None:
    file.create_dataset('data', (9, 3), 'u1', external=[('/etc/passwd', 0, 27)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), 'f4')
    layout[:] = h5py.VirtualSource('other.h5', 'data', (4, 3))
    file.create_virtual_dataset('data', layout)


def unwritten(file: h5py.File) -> None:
    file.create_dataset('data', (10**9, 1000, 3), 'f4', chunks=(1, 1000, 3))


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset('data', (1, 3), 'f4', chunks=(10**8, 3), maxshape=(None, 3))


def texts(file: h5py.File) -> None:
    file['data'] = ['a', 'b']


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (external_link, "no data of its own: it is a link to 'other.h5', which is not followed"),
        (soft_link, "no data of its own: it is a link to '/elsewhere'"),
        (external_storage, 'keeps the values of data in other files, which are not read'),
        (virtual, 'keeps the values of data in other files, which are not read'),
        (unwritten, 'bytes and says that it holds 12,000,000,000,000'),
        (huge_chunk, 'bytes and says that it holds 1,200,000,000'),
        (texts, 'has data of object; expected numbers'),
    ],
)
def test_values_that_are_not_in_an_h5_file_are_not_read(
    tmp_path: pathlib.Path, make: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(tmp_path / 'other.h5', 'w') as file:
        file['data'] = CLOUD
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        make(file)
        file['label'] = [0]
    for read in (h5.read, teachers_read):
        with pytest.raises(UserError, match=message):
            read(tmp_path / 'a.h5')


def teachers_read(path: pathlib.Path) -> object:
    split = Split(CLOUD[None], np.zeros(1, np.int32), ('a',))
    return teachers.attach(split, path)


def test_a_label_of_a_billion_makes_no_billion_names(tmp_path: pathlib.Path) -> None:
    for split in ('train', 'test'):
        with h5py.File(tmp_path / f'{split}.h5', 'w') as file:
            file['data'], file['label'] = CLOUD[None], [10**9]
    with pytest.raises(UserError, match='has a label of 1,000,000,000 and 1 clouds'):
        load_dataset('folder', root=tmp_path)


def test_json_is_read_of_files_alone_and_of_small_ones(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a.json').write_bytes(b'[' * (json_files.LARGEST + 1))
    for path, message in (
        (pathlib.Path('/dev/zero'), 'is no file'),
        (tmp_path, 'is no file'),
        (tmp_path / 'a.json', 'has more than 4,194,304 bytes'),
        (tmp_path / 'b.json', 'cannot be read as JSON'),
    ):
        with pytest.raises(UserError, match=message):
            json_files.read_json(path)


# ------------------------------------------------------------------ mutants


def npy_files(folder: pathlib.Path) -> None:
    np.save(folder / 'a.npy', CLOUD)
    np.save(folder / 'b.npy', np.asfortranarray(CLOUD.astype(np.float64)))


def npz_files(folder: pathlib.Path) -> None:
    np.savez(folder / 'a.npz', points=CLOUD)
    np.savez_compressed(folder / 'b.npz', xyz=CLOUD, other=CLOUD)


def h5_files(folder: pathlib.Path) -> None:
    for name, options in (('a', {}), ('b', {'compression': 'gzip', 'chunks': (1, 4, 3)})):
        with h5py.File(folder / f'{name}.h5', 'w') as file:
            file.create_dataset('data', data=np.stack([CLOUD] * 2), **options)
            file['label'] = np.array([[0], [1]], np.uint8)


def json_files_of(folder: pathlib.Path) -> None:
    facts = {'classes': ['a', 'b'], 'points': 1024, 'scores': {'accuracy': 0.5}, 'history': [None]}
    (folder / 'facts.json').write_text(json.dumps(facts))


def specs(folder: pathlib.Path) -> None:
    spec = ModelSpec('recon', 3, method='dapt', method_options={'rank': 4}, geometry={'depth': 2})
    (folder / 'spec.json').write_text(json.dumps(spec.to_json()))


def features(folder: pathlib.Path) -> None:
    arrays = {'image_feature': np.ones((2, 4)), 'text_feature': np.ones((2, 3, 5), np.float32)}
    np.savez(folder / 'a.npz', **arrays)
    with h5py.File(folder / 'a.h5', 'w') as file:
        for name, array in arrays.items():
            file[name] = array


FILES = {
    'npy': ('points', npy_files),
    'npz': ('points', npz_files),
    'h5': ('h5', h5_files),
    'json': ('json', json_files_of),
    'spec': ('spec', specs),
    'teachers': ('teachers', features),
}


@pytest.mark.parametrize('name', FILES)
def test_a_mutant_is_read_or_refused(tmp_path: pathlib.Path, name: str) -> None:
    reader, make = FILES[name]
    make(tmp_path)
    fuzz.assert_read_or_refused(fuzz.outcomes(reader, tmp_path, 'bytes', 150, 1), 150)


@pytest.mark.slow
@pytest.mark.parametrize('name', FILES)
def test_many_mutants_are_read_or_refused(tmp_path: pathlib.Path, name: str) -> None:
    reader, make = FILES[name]
    make(tmp_path)
    fuzz.assert_read_or_refused(fuzz.outcomes(reader, tmp_path, 'bytes', 3_000, 2), 3_000)


def test_an_h5_file_that_is_open_elsewhere_is_not_called_damaged(tmp_path: pathlib.Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['data'], file['label'] = CLOUD[None], [0]
    with open(tmp_path / 'a.h5', 'rb') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # as HDF5 does for a file that it writes
        with pytest.raises(UserError, match='is open in another program that writes it'):
            h5.read(tmp_path / 'a.h5')
    assert h5.read(tmp_path / 'a.h5')[1].tolist() == [0]
