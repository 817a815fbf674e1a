"""ScanObjectNN from its official h5 files: 15 classes of scanned objects, 2,048 points each."""

import pathlib

import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.datasets._options import check_choice
from point_ft_jax.data.files import h5
from point_ft_jax.data.files.folders import below, existing_root
from point_ft_jax.data.precision import to_float32
from point_ft_jax.data.shared_classes import only_shared
from point_ft_jax.data.split import Split

CLASSES = (
    *('bag', 'bin', 'box', 'cabinet', 'chair', 'desk', 'display', 'door'),
    *('shelf', 'table', 'bed', 'pillow', 'sink', 'sofa', 'toilet'),
)
# folder, and what the file names have in common
FILES = {
    'obj_bg': ('main_split', 'objectdataset.h5'),
    'obj_only': ('main_split_nobg', 'objectdataset.h5'),
    'pb_t50_rs': ('main_split', 'objectdataset_augmentedrot_scale75.h5'),
}
PREFIX = {'train': 'training', 'test': 'test'}
COUNTS = {
    'obj_bg': {'train': 2309, 'test': 581},
    'obj_only': {'train': 2309, 'test': 581},
    'pb_t50_rs': {'train': 11416, 'test': 2882},
}
POINTS = 2048


def load(
    split: str,
    *,
    root: str,
    variant: str = 'obj_bg',
    official: bool = True,
    shared: str | None = None,
) -> Split:
    """A split of ScanObjectNN in raw coordinates (about metres); nothing is normalised.

    Args:
        split: 'train' or 'test'.
        root: the folder that holds main_split/ and main_split_nobg/, or the one that holds these
            in h5_files/.
        variant: 'obj_bg' (with background), 'obj_only', or 'pb_t50_rs' (perturbed; the hardest).
        official: whether the counts must be those of the release.
        shared: 'scan11' for the clouds of the 11 classes that ModelNet40 has too, 'scan9' for those
            of 9 that ShapeNet has; see `data.shared_classes`.

    Raises:
        UserError: a missing, damaged or different file; NaN, a wrong shape, label or count.
    """
    path = _path(split, root, variant)
    points, labels = h5.read(path)
    problems = checks.problems(points, labels, CLASSES)
    if official:
        problems += _count_problems(points, COUNTS[variant][split])
    raise_all(problems, f'{path} is not the {split} split of ScanObjectNN {variant}:')
    found = Split(to_float32(points), labels.astype(np.int32), CLASSES)
    return only_shared(found, shared)


def describe(
    split: str,
    *,
    root: str,
    variant: str = 'obj_bg',
    official: bool = True,
    shared: str | None = None,
) -> str:
    """One line on what is found for a split: variant and file."""
    kind = 'official counts' if official else 'counts not checked'
    return f'ScanObjectNN {variant} ({kind}), {_path(split, root, variant)}'


def _path(split: str, root: str, variant: str) -> pathlib.Path:
    check_choice('split', split, PREFIX)
    check_choice('variant', variant, FILES)
    base = existing_root(root)
    folder, suffix = FILES[variant]
    name = f'{PREFIX[split]}_{suffix}'
    candidates = [base / folder / name, base / 'h5_files' / folder / name]
    found = [path for path in candidates if path.is_file()]
    if not found:
        raise UserError(_missing(base, folder, candidates))
    return found[0]


def _missing(base: pathlib.Path, folder: str, candidates: list[pathlib.Path]) -> str:
    advice = 'download the h5 files from the ScanObjectNN site and give the folder they are in'
    if base.name in {name for name, _ in FILES.values()}:
        advice = f'root is a split folder itself: give the folder above it, {base.parent}'
    elif deeper := below(base, f'{folder}/{candidates[0].name}'):
        advice = (
            f'found {deeper[0]}: set root to {deeper[0].parents[1]}, and call folder and file '
            f'{folder}/{candidates[0].name}, in small letters'
        )
    nearest = next((path.parent for path in candidates if path.parent.is_dir()), base)
    looked = ' and '.join(str(path) for path in candidates)
    return f'no file {candidates[0].name}: looked for {looked}; {h5.listing(nearest)}; {advice}'


def _count_problems(points: np.ndarray, count: int) -> list[str]:
    advice = 'for your own data use the plug-in `folder`, for a changed release official=False '
    advice += '(--config.data.official=False)'
    found = []
    if len(points) != count:
        found.append(f'{len(points):,} clouds; the official split has {count:,}; {advice}')
    if points.ndim == 3 and points.shape[1] != POINTS:
        found.append(f'{points.shape[1]:,} points a cloud; the release has {POINTS:,}; {advice}')
    return found
