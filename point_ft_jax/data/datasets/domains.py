"""One domain of a benchmark of domain shift, as PointDA-10 and MetaSets' data are released.

A folder for each domain, root/<domain>/<class>/{train,test}/*.npy: `modelnet` and `shapenet` of
PointDA-10 (Qin et al., NeurIPS 2019), or `modelnet_11`, `scanobjectnn_11`, `shapenet_9` and
`scanobjectnn_9` of MetaSets (Huang et al., CVPR 2021). PointDA-10's `scannet` is in h5 files that
train_files.txt and test_files.txt list.

To train on one domain and test on another, fine-tune on the first and evaluate on the second: their
classes are the same in the same order.
"""

import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import checks
from point_ft_jax.data.datasets._options import SPLITS, check_choice, read_names
from point_ft_jax.data.files import h5, npy
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import same_size, unit_sphere
from point_ft_jax.data.split import Split

POINTDA = (
    *('bathtub', 'bed', 'bookshelf', 'cabinet', 'chair', 'lamp', 'monitor', 'plant', 'sofa'),
    'table',
)


def load(split: str, *, root: str, domain: str, num_points: int = 1024, seed: int = 0) -> Split:
    """A split of a domain, every cloud centred and scaled to the unit sphere.

    Args:
        split: 'train' or 'test'.
        root: the folder of the domains.
        domain: the name of one of them.
        num_points: the points kept of every cloud, drawn without replacement and the same in every
            run; clouds have different sizes.
        seed: draws the points.

    Raises:
        UserError: no such domain, classes that lack a split, a file that holds no cloud, clouds of
            fewer points, NaN.
    """
    check_choice('split', split, SPLITS)
    if num_points < 1:
        raise UserError(f'num_points is {num_points}; expected 1 or more')
    folder = _folder(root, domain)
    clouds, labels, names, classes = (_listed if _lists(folder) else _filed)(folder, split)
    raise_all(checks.cloud_problems(clouds, names), f'{folder} has no sound clouds:')
    points = unit_sphere(same_size(clouds, names, num_points, seed))
    raise_all(checks.problems(points, labels, classes), f'{folder} is not sound:')
    return Split(points, labels.astype(np.int32), classes, names=tuple(names))


def describe(split: str, *, root: str, domain: str, num_points: int = 1024, seed: int = 0) -> str:
    """One line on what is found for a split: the domain and its layout."""
    folder = _folder(root, domain)
    return f'domain {domain}, {folder}, {"lists of h5 files" if _lists(folder) else "npy files"}'


Clouds = tuple[list[np.ndarray], np.ndarray, list[str], tuple[str, ...]]


def _folder(root: str, domain: str) -> pathlib.Path:
    base = existing_root(root)
    known = sorted(path.name for path in base.iterdir() if path.is_dir())
    if domain not in known:
        raise UserError(f'no domain {domain!r} in {base}; there are {some(known) or "no folders"}')
    return base / domain


def _lists(folder: pathlib.Path) -> bool:
    return (folder / 'train_files.txt').is_file()


def _listed(folder: pathlib.Path, split: str) -> Clouds:
    """The clouds of the h5 files that a list names, by whatever folder."""
    lines = read_names(folder / f'{split}_files.txt')
    points, labels = h5.read_all([folder / pathlib.PurePosixPath(line).name for line in lines])
    clouds = [cloud[:, :3] for cloud in points]
    return clouds, labels, [f'{split} {i}' for i in range(len(clouds))], POINTDA


def _filed(folder: pathlib.Path, split: str) -> Clouds:
    """The clouds of <class>/<split>/*.npy, class by class."""
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    files = {name: sorted((folder / name / split).glob('*.npy')) for name in classes}
    if empty := [f'{name}/{split}' for name, paths in files.items() if not paths]:
        raise UserError(f'{folder}: no .npy file in {some(empty)}; expected <class>/{split}/*.npy')
    paths = [path for own in files.values() for path in own]
    clouds = [npy.read(path) for path in paths]
    flat = [p.name for p, c in zip(paths, clouds, strict=True) if c.ndim != 2 or c.shape[1] < 3]
    if flat:
        raise UserError(f'{folder}: {some(flat)} are no clouds; expected arrays [points, 3]')
    labels = np.repeat(np.arange(len(classes)), [len(own) for own in files.values()])
    names = [path.relative_to(folder).as_posix() for path in paths]
    return [cloud[:, :3] for cloud in clouds], labels, names, classes
