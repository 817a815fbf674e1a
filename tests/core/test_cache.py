"""What is kept on disk: found again, of the right version, and never needed."""

import pathlib

import numpy as np
import pytest

from point_ft_jax.core import cache
from point_ft_jax.data.datasets import shapes


@pytest.fixture
def kept(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'point_ft_jax' / 'shapes'


MANY = {'train_size': shapes.KEPT_FROM + 10, 'test_size': 15, 'num_points': 16}


def test_many_clouds_are_found_again_and_few_are_not_kept(kept, monkeypatch):
    first = shapes.load('train', **MANY)
    shapes.load('test', **MANY)
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setattr(shapes, 'scanned', None)
    again = shapes.load('train', **MANY)
    np.testing.assert_array_equal(again.points, first.points)
    np.testing.assert_array_equal(again.part_labels, first.part_labels)


@pytest.mark.parametrize('damage', ['content', 'reading'])
def test_what_cannot_be_read_again_is_made_again(kept, monkeypatch, damage):
    first = shapes.load('train', **MANY)
    [path] = kept.iterdir()
    if damage == 'content':
        path.write_bytes(b'PK nothing')
    else:
        path.unlink()
        path.mkdir()
    with pytest.warns(UserWarning, match='npz cannot be ') as told:
        again = shapes.load('train', **MANY)
    assert 'read, and is made again' in str(told[0].message)
    np.testing.assert_array_equal(again.points, first.points)


def test_what_is_kept_is_of_the_same_options_and_the_same_code(kept, monkeypatch, tmp_path):
    shapes.load('train', **MANY)
    for more in ({'seed': 1}, {'style': 'cad'}, {'variant': 'obj_bg'}, {'num_points': 17}):
        shapes.load('train', **{**MANY, **more})
    assert len(list(kept.iterdir())) == 5
    (tmp_path / 'module.py').write_text('another generator')
    monkeypatch.setattr(shapes.generator, '__file__', str(tmp_path / '__init__.py'))
    shapes.load('train', **MANY)
    assert len(list(kept.iterdir())) == 6


def test_without_a_place_to_keep_them_they_are_made_all_the_same(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    with pytest.warns(
        UserWarning, match='npz cannot be kept, and is made each time: .*Not a direc'
    ):
        assert len(shapes.load('train', **MANY)) == MANY['train_size']


def test_what_cannot_be_written_whole_is_not_there(tmp_path, monkeypatch):
    def full(*args, **arrays):
        raise OSError('no space left')

    monkeypatch.setattr(np, 'savez', full)
    with pytest.warns(UserWarning, match='no space left'):
        cache.write(tmp_path / 'a' / 'b.npz', points=np.zeros(3))
    assert not list((tmp_path / 'a').iterdir())
