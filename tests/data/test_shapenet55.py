"""The ShapeNet-55 reader: its lists, its files, and what is wrong with them."""

import pathlib

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import shapenet55

LISTS = {
    'train': ['02691156-a.npy', '03001627-b.npy', '02691156-c.npy'],
    'test': ['03001627-d.npy'],
}


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    r = np.random.default_rng(0)
    (tmp_path / 'shapenet_pc').mkdir()
    (tmp_path / 'ShapeNet-55').mkdir()
    for split, names in LISTS.items():
        (tmp_path / 'ShapeNet-55' / f'{split}.txt').write_text('\n'.join(names) + '\n')
        for name in names:
            np.save(tmp_path / 'shapenet_pc' / name, 5 + r.normal(size=(20, 3)))
    return tmp_path


def load(split: str, root: pathlib.Path, **options: object) -> shapenet55.Split:
    return shapenet55.load(split, root=str(root), official=False, **options)


def test_clouds_are_those_of_the_list_in_the_unit_sphere(root: pathlib.Path) -> None:
    train, test = load('train', root), load('test', root)
    assert train.classes == test.classes == ('02691156', '03001627')
    assert train.labels.tolist() == [0, 1, 0]
    assert test.labels.tolist() == [1]
    raw = np.load(root / 'shapenet_pc' / '03001627-b.npy')
    centred = raw - raw.mean(0)
    expected = centred / np.linalg.norm(centred, axis=1).max()
    np.testing.assert_allclose(train.points[1], expected, atol=1e-6)
    assert len(load('train', root, whole=True)) == 4
    assert load('train', root, num_points=7).points.shape == (3, 7, 3)


def test_official_counts_are_demanded_by_default(root: pathlib.Path) -> None:
    with pytest.raises(UserError, match='train has 3 clouds; the release has 41,952'):
        shapenet55.load('train', root=str(root))


def test_what_is_wrong_is_said(root: pathlib.Path) -> None:
    folder = root / 'shapenet_pc'
    with pytest.raises(UserError, match=r'a\.npy: 20 points, and num_points is 50'):
        load('train', root, num_points=50)
    (folder / '02691156-a.npy').write_text('no cloud')
    np.save(folder / '02691156-c.npy', np.zeros((20, 2)))
    with pytest.raises(UserError, match=r'(?s)a\.npy: not a numpy file.*c\.npy: float64 \(20, 2\)'):
        load('train', root)
    (folder / '02691156-a.npy').unlink()
    with pytest.raises(UserError, match=r'lacks 1 of 3 listed clouds: 02691156-a\.npy'):
        load('train', root)
    (root / 'ShapeNet-55' / 'train.txt').unlink()
    with pytest.raises(UserError, match=r'no train\.txt in .*ShapeNet-55'):
        load('train', root)
