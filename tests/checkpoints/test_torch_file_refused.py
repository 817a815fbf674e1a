"""Files that are no PyTorch checkpoint, or no whole one: each is refused by what it is."""

import pathlib
import zipfile

import numpy as np
import pytest
import torch_archive

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.core.errors import UserError

FIXTURES = pathlib.Path(__file__).parents[1] / 'golden' / 'torch_files'
GOOD = {'model': {'w': np.arange(6, dtype=np.float32)}}


def tar_head() -> bytes:
    return b'sys_info'.ljust(257, b'\0') + b'ustar' + bytes(250)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'an empty file'),
        (
            b'\n<!DOCTYPE html><html><title>Quota exceeded',
            'a web page, .* download it in a browser',
        ),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:0',
            'a git-lfs .* `git lfs pull`',
        ),
        (b'\x50\0\0\0\0\0\0\0{"w":{"dtype":"F32"', 'a safetensors file'),
        (b'\x89HDF\r\n\x1a\n', 'an HDF5 file'),
        (b'\x93NUMPY\x01\0', 'a numpy array'),
        (b'\x1f\x8b\x08\0', 'gzip data; unpack it first'),
        (b'\x80\x04K\x01.', 'a plain Python pickle'),
        (tar_head(), 'a tar archive; .* before 0.1.10'),
        (b'epoch,acc\n1,2\n', r"something that starts with b'epoch,acc\\n1,2\\n'"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content, message):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match=rf'a\.pth: not a PyTorch \.pth file but {message}'):
        torch_file.read(tmp_path / 'a.pth')


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(UserError, match=r'no\.pth: No such file or directory; expected a PyTorch'):
        torch_file.read(tmp_path / 'no.pth')
    with pytest.raises(UserError, match='Is a directory; expected a PyTorch'):
        torch_file.state_dict(tmp_path)


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({'byteorder': b'big'}, 'written in big-endian order'),
        ({'constants.pkl': b''}, r'a TorchScript program; save model\.state_dict'),
        ({'../root/data.pkl': b''}, 'a zip archive, but not one by torch.save'),
        ({'data/0': bytes(23)}, "storage '0' is cut short: 23 of 24 bytes"),
    ],
)
def test_archives_that_are_not_as_expected(tmp_path, entries, message):
    (tmp_path / 'a.pth').write_bytes(torch_archive.checkpoint(GOOD, entries))
    with pytest.raises(UserError, match=message):
        torch_file.read(tmp_path / 'a.pth')


def test_a_zip_archive_of_other_things_is_said(tmp_path):
    np.savez(tmp_path / 'a.npz', w=np.ones(2))
    with pytest.raises(UserError, match=r"not one by torch\.save: it holds \['w\.npy'\]"):
        torch_file.read(tmp_path / 'a.npz')


def test_compressed_archives_are_refused_unread(tmp_path):
    bomb = torch_archive.zipped({'data.pkl': bytes(10**7)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**5
    (tmp_path / 'a.pth').write_bytes(bomb)
    with pytest.raises(UserError, match='a compressed zip archive, not as torch'):
        torch_file.read(tmp_path / 'a.pth')


def test_overlapping_entries_are_refused_unread(tmp_path):
    # Two names for the same bytes: a small file that claims to hold more than it has.
    content = torch_archive.checkpoint(GOOD, {'data/0': bytes(1000), 'data/1': b''})
    start, end = content.index(b'PK\x01\x02'), content.index(b'PK\x05\x06')
    records = [b'PK\x01\x02' + part for part in content[start:end].split(b'PK\x01\x02')[1:]]
    (big,) = (r for r in records if r.endswith(b'data/0'))
    forged = [big[:-1] + r[-1:] if r.endswith(b'data/1') else r for r in records]
    (tmp_path / 'a.pth').write_bytes(content[:start] + b''.join(forged) + content[end:])
    with pytest.raises(UserError, match='a compressed zip archive'):
        torch_file.read(tmp_path / 'a.pth')


def test_encrypted_archives_are_refused(tmp_path):
    content = bytearray(torch_archive.checkpoint(GOOD))
    content[content.index(b'PK\x01\x02') + 8] |= 1
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match='an encrypted zip archive; unpack it first'):
        torch_file.read(tmp_path / 'a.pth')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (b'little_endianq\x02\x88', b'little_endianq\x02\x89', 'written in big-endian order'),
        (b'\x80\x02M\xe9\x03.', b'\x80\x02M\xe8\x03.', 'format version 1000; expected 1001'),
    ],
)
def test_legacy_files_that_are_not_as_expected(tmp_path, old, new, message):
    content = (FIXTURES / 'legacy.pth').read_bytes()
    assert content.count(old) == 1
    (tmp_path / 'a.pth').write_bytes(content.replace(old, new))
    with pytest.raises(UserError, match=message):
        torch_file.read(tmp_path / 'a.pth')


@pytest.mark.parametrize('name', ['zip', 'legacy'])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, name):
    content = (FIXTURES / f'{name}.pth').read_bytes()
    path = tmp_path / 'a.pth'
    for length in [*range(0, len(content), 29), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r'cut short|an empty file|starts with|plain Python'):
            torch_file.read(path)


def test_a_changed_byte_in_a_tensor_is_noticed(tmp_path):
    content = bytearray((FIXTURES / 'zip.pth').read_bytes())
    weights, _ = torch_file.state_dict(FIXTURES / 'zip.pth')
    content[content.index(weights['module.mask_token'].tobytes())] ^= 1
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match=r'damaged.*Bad CRC-32'):
        torch_file.read(tmp_path / 'a.pth')
