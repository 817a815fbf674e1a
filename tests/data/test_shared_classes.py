"""Classes that two data sets share, and domains in the released layout."""

import pathlib

import h5py
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import domains, modelnet40, scanobjectnn, shapes
from point_ft_jax.data.shared_classes import SHARED, only_shared
from point_ft_jax.data.split import Split

# The labels of ModelNet40 -> those of ScanObjectNN, as the authors of ScanObjectNN map them.
OFFICIAL = {2: 10, 3: 4, 4: 8, 8: 4, 12: 5, 13: 7, 14: 3, 22: 6, 29: 12, 30: 13, 32: 4, 33: 9}
OFFICIAL |= {35: 14, 38: 3}


def of_classes(classes: tuple[str, ...]) -> Split:
    """A cloud of every class."""
    points = np.random.default_rng(0).normal(size=(len(classes), 8, 3)).astype(np.float32)
    return Split(points, np.arange(len(classes), dtype=np.int32), classes)


def test_modelnet40_and_scanobjectnn_share_eleven_classes_as_their_authors_have_it() -> None:
    cad, scans = (of_classes(plugin.CLASSES) for plugin in (modelnet40, scanobjectnn))
    few, seen = only_shared(cad, 'scan11'), only_shared(scans, 'scan11')
    assert few.classes == seen.classes == SHARED['scan11'].classes
    assert len(few.classes) == 11
    place = {cad.points[i].tobytes(): i for i in range(40)}
    found = {
        place[cloud.tobytes()]: scans.classes.index(few.classes[label])
        for cloud, label in zip(few.points, few.labels, strict=True)
    }
    assert found == OFFICIAL


def test_shapenet_and_scanobjectnn_share_nine() -> None:
    synsets = tuple(name for name in SHARED['scan9'].names if name.isdigit())
    few = only_shared(of_classes(('02691156', *synsets)), 'scan9')
    assert len(few) == len(few.classes) == 9
    assert only_shared(of_classes(scanobjectnn.CLASSES), 'scan9').classes == few.classes


def test_embedded_cad40_and_scan15_share_the_eleven() -> None:
    cad = shapes.load(
        'train', style='cad', classes='cad40', num_points=16, train_size=40, shared='scan11'
    )
    scans = shapes.load('test', num_points=16, test_size=15, shared='scan11')
    assert cad.classes == scans.classes
    assert len(cad) == 14
    assert len(scans) == 11
    assert [len(own) > 1 for own in cad.parts] == [True] * 11


def test_wrong_names_and_data_without_these_classes_are_refused() -> None:
    with pytest.raises(UserError, match="shared is 'scan12'; expected one of scan11, scan9"):
        only_shared(of_classes(('chair',)), 'scan12')
    with pytest.raises(UserError, match='no class for cabinet, desk'):
        only_shared(of_classes(('chair', 'bench')), 'scan11')


def write_domains(root: pathlib.Path) -> None:
    """A domain of npy files, one of listed h5 files."""
    rng = np.random.default_rng(0)
    for name in ('bed', 'chair'):
        for split, count in (('train', 2), ('test', 1)):
            folder = root / 'modelnet' / name / split
            folder.mkdir(parents=True)
            for i in range(count):
                np.save(folder / f'{name}_{i}.npy', rng.normal(size=(20 + i, 3)))
    (root / 'scannet').mkdir()
    for split in ('train', 'test'):
        (root / 'scannet' / f'{split}_files.txt').write_text(f'somewhere/else/{split}_0.h5\n')
        with h5py.File(root / 'scannet' / f'{split}_0.h5', 'w') as file:
            file['data'] = rng.normal(size=(10, 32, 6)).astype(np.float32)
            file['label'] = np.arange(10)


def test_domains_are_read_as_they_are_released(tmp_path: pathlib.Path) -> None:
    write_domains(tmp_path)
    cad = domains.load('train', root=tmp_path, domain='modelnet', num_points=16)
    assert cad.points.shape == (4, 16, 3)
    assert cad.labels.tolist() == [0, 0, 1, 1]
    assert cad.classes == ('bed', 'chair')
    np.testing.assert_allclose(np.linalg.norm(cad.points, axis=-1).max(1), 1, atol=1e-6)
    scans = domains.load('test', root=tmp_path, domain='scannet', num_points=16)
    assert scans.points.shape == (10, 16, 3)
    assert scans.classes[3] == 'cabinet'
    assert 'lists of h5 files' in domains.describe('test', root=tmp_path, domain='scannet')


def test_domains_that_are_not_there_or_lack_a_split_are_refused(tmp_path: pathlib.Path) -> None:
    write_domains(tmp_path)
    with pytest.raises(UserError, match=r"no domain 'shapenet'.*there are modelnet, scannet"):
        domains.load('train', root=tmp_path, domain='shapenet')
    (tmp_path / 'modelnet' / 'bed' / 'test' / 'bed_0.npy').unlink()
    with pytest.raises(UserError, match=r'no \.npy file in bed/test'):
        domains.load('test', root=tmp_path, domain='modelnet', num_points=16)
    with pytest.raises(UserError, match='fewer than num_points'):
        domains.load('train', root=tmp_path, domain='modelnet', num_points=21)
