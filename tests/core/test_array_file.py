"""Arrays on disk under a hash: what was written comes back, and nothing else is taken for it."""

import pathlib
import random

import numpy as np
import pytest

from point_ft_jax.core import array_file
from point_ft_jax.core.errors import UserError

ARRAYS = {'points': np.arange(600.0).reshape(100, 2, 3), 'names': np.array(['a', 'b'])}


def damaged(content: bytes, r: random.Random) -> bytes:
    if r.random() < 0.3:
        return content[: r.randrange(len(content))]
    changed = bytearray(content)
    changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('unsigned', [False, True])
def test_what_is_damaged_is_named_and_never_taken_for_sound(
    packed: bool, unsigned: bool, tmp_path: pathlib.Path
) -> None:
    path, r = tmp_path / 'a.npz', random.Random(0)
    array_file.write(path, ARRAYS, packed)
    sound = path.read_bytes()
    array_file.write(path, ARRAYS, packed)
    assert path.read_bytes() == sound
    np.testing.assert_equal(array_file.read(path, unsigned), ARRAYS)
    for _ in range(200):
        path.write_bytes(damaged(sound, r))
        try:
            found = array_file.read(path, unsigned)
        except UserError:
            pass
        else:  # all of the hash was cut off, or of what was changed the archive says so itself
            assert unsigned
            np.testing.assert_equal(found, ARRAYS)
    assert [file.name for file in tmp_path.iterdir()] == ['a.npz']


def test_a_file_without_a_hash_is_read_where_that_is_allowed(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / 'old.npz', **ARRAYS)
    np.testing.assert_equal(array_file.read(tmp_path / 'old.npz', unsigned=True), ARRAYS)
    with pytest.raises(UserError, match=r'old\.npz is not what was written'):
        array_file.read(tmp_path / 'old.npz')


def test_a_renamed_file_is_not_taken_for_another(tmp_path: pathlib.Path) -> None:
    array_file.write(tmp_path / 'alpha_0_1.npz', ARRAYS)
    (tmp_path / 'alpha_0_1.npz').rename(tmp_path / 'alpha_1_1.npz')
    with pytest.raises(UserError, match='it was damaged, or renamed'):
        array_file.read(tmp_path / 'alpha_1_1.npz', unsigned=True)
