"""ShapeNetPart: shapes of 16 categories, a part for every point, in either of its releases.

`text` is shapenetcore_partanno_segmentation_benchmark_v0_normal: a file a shape, of some 2,600
lines `x y z nx ny nz part`. `hdf5` is the one of 2,048 points a shape, named by lists of h5 files.
The split 'train' is the official training and validation list together, as all papers train.

Data of one's own in either layout is read with `official=False`. Its categories are those of
synsetoffset2category.txt (all_object_categories.txt beside h5 files); the parts of each are in
seg_classes.json, {"Cup": [0, 1], ...}, or else those that ShapeNetPart has for the name.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import checks
from point_ft_jax.data.checks import some
from point_ft_jax.data.datasets import _releases
from point_ft_jax.data.datasets._options import SPLITS, check_choice, read_names
from point_ft_jax.data.files import h5
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import same_size, unit_sphere
from point_ft_jax.data.split import Split

FORMS = {
    'text': 'shapenetcore_partanno_segmentation_benchmark_v0_normal',
    'hdf5': 'hdf5_data',
}
COUNTS = {'train': 14007, 'test': 2874}
NUMBER_OF_PARTS = {  # which are numbered through
    **{'Airplane': 4, 'Bag': 2, 'Cap': 2, 'Car': 4, 'Chair': 4, 'Earphone': 3, 'Guitar': 3},
    **{'Knife': 2, 'Lamp': 4, 'Laptop': 2, 'Motorbike': 6, 'Mug': 2, 'Pistol': 3, 'Rocket': 3},
    **{'Skateboard': 3, 'Table': 3},
}
STARTS = np.cumsum([0, *NUMBER_OF_PARTS.values()]).tolist()
PARTS = {
    name: tuple(range(start, start + size))
    for (name, size), start in zip(NUMBER_OF_PARTS.items(), STARTS, strict=False)
}
TABLES = {'text': 'synsetoffset2category.txt', 'hdf5': 'all_object_categories.txt'}
MARKS = {'text': TABLES['text'], 'hdf5': '*_hdf5_file_list.txt'}
COLUMNS = (4, 7)
LISTS = 'train_test_split/shuffled_{}_file_list.json'


def load(
    split: str,
    *,
    root: str,
    form: str = 'auto',
    num_points: int = 2048,
    replacement: bool = False,
    use_val: bool = True,
    seed: int = 0,
    official: bool = True,
) -> Split:
    """A split of ShapeNetPart, every shape centred and scaled to the unit sphere, normals dropped.

    Args:
        split: 'train' or 'test'.
        root: the folder of a release, or the one above it.
        form: 'text', 'hdf5', or 'auto' for the one that is found.
        num_points: the points kept of every shape, drawn without replacement and the same in every
            run.
        replacement: keep all points instead, for `sampling='with_replacement'`, which draws
            `points` of them anew in every step; clouds are filled up with copies to one size.
        use_val: whether 'train' holds the validation shapes too.
        seed: draws the points.
        official: whether categories and counts must be those of the release.

    Raises:
        UserError: no release or two of them, a missing list or file, a wrong number of columns, a
            part that its category does not have, a shape of fewer than `num_points` points; NaN.
    """
    form, folder = _find(split, root, form)
    if num_points < 1:
        raise UserError(f'num_points is {num_points}; expected 1 or more')
    parts = _categories(form, folder, official)
    clouds, labels, names = _READERS[form](folder, _lists(split, use_val), tuple(parts))
    problems = checks.cloud_problems(clouds, names)
    problems += checks.part_problems([c[:, 3] for c in clouds], labels, names, parts)
    if official and use_val and len(clouds) != COUNTS[split]:
        problems.append(
            f'{len(clouds):,} shapes; the release has {COUNTS[split]:,}; download it again, or set '
            'official=False (--config.data.official=False) for other data in this layout'
        )
    raise_all(problems, f'{folder} is not the {split} split of ShapeNetPart ({form}):')
    clouds = [_normalised(cloud) for cloud in clouds]
    sizes = None
    if replacement:
        sizes = np.array([len(cloud) for cloud in clouds], np.int32)
        clouds = [np.resize(cloud, (sizes.max(), 4)) for cloud in clouds]
    else:
        clouds = same_size(clouds, names, num_points, seed)
    table = np.stack(clouds)
    return Split(
        np.ascontiguousarray(table[..., :3]),
        labels,
        tuple(parts),
        table[..., 3].astype(np.int32),
        part_names=_part_names(parts),
        parts=tuple(parts.values()),
        sizes=sizes,
        names=tuple(names),
    )


def describe(
    split: str,
    *,
    root: str,
    form: str = 'auto',
    use_val: bool = True,
    official: bool = True,
    **_: Any,
) -> str:
    """One line on what is found for a split: form, folder and lists."""
    form, folder = _find(split, root, form)
    kind = 'official counts' if official else 'counts not checked'
    lists = ' and '.join(_lists(split, use_val))
    return f'ShapeNetPart {form} ({kind}), {folder}, list of {lists}'


def _normalised(cloud: np.ndarray) -> np.ndarray:
    """[N, 4] float32 of [N, 4] in any precision: x, y, z in the unit sphere, part."""
    return np.concatenate([unit_sphere(cloud[None, :, :3])[0], cloud[:, 3:]], 1, dtype=np.float32)


def _lists(split: str, use_val: bool) -> tuple[str, ...]:
    return ('train', 'val') if split == 'train' and use_val else (split,)


def _find(split: str, root: str, form: str) -> tuple[str, pathlib.Path]:
    """The release, and the folder it is in."""
    check_choice('split', split, SPLITS)
    base = existing_root(root)
    for depth in ('', '*/'):
        if old := next(base.glob(f'{depth}*/points/*.pts'), None):
            raise UserError(
                f'{old.parents[2]} holds ShapeNetPart v0, points/*.pts and points_label/*.seg '
                f'without normals; expected {FORMS["text"]} or {FORMS["hdf5"]}: download one'
            )
    return _releases.find('ShapeNetPart', root, form, FORMS, MARKS)


def _categories(form: str, folder: pathlib.Path, official: bool) -> dict[str, tuple[int, ...]]:
    """The categories in their order, each with its parts."""
    path = folder / TABLES[form]
    names = [words[0] for words in _words(path)] if path.is_file() else list(PARTS)
    if official and names != list(PARTS):
        differ = sorted(set(names) ^ set(PARTS))
        raise UserError(
            f'{path} names {len(names)} categories that are not the 16 of ShapeNetPart in their '
            f'order'
            + (f' (differing: {some(differ)})' if differ else '')
            + '; download it again, or set official=False (--config.data.official=False) for data '
            'of your own'
        )
    own = folder / 'seg_classes.json'
    table = _json(own) if own.is_file() and not official else PARTS
    wrong = [
        name
        for name in names
        if not isinstance(table, dict) or not checks.are_part_ids(table.get(name))
    ]
    if wrong:
        raise UserError(
            f'no parts are known of {some(wrong)}: give {own} as '
            f'{{"{wrong[0]}": [0, 1], ...}}, the part ids of every category'
        )
    return {name: tuple(table[name]) for name in names}


def _words(path: pathlib.Path) -> list[list[str]]:
    """The words of each line, two at least."""
    rows = [line.split() for line in read_names(path)]
    if not rows or min(map(len, rows)) < 2:
        raise UserError(f'{path} should have lines of a category and its folder, "Cap 02954340"')
    return rows


def _json(path: pathlib.Path) -> object:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is no readable JSON file ({error})') from None


Clouds = tuple[list[np.ndarray], np.ndarray, list[str]]


def _read_text(folder: pathlib.Path, lists: Sequence[str], names: Sequence[str]) -> Clouds:
    """Of every listed shape its cloud [N, 4] of x, y, z, part; its category; its name."""
    labels = {words[1]: names.index(words[0]) for words in _words(folder / TABLES['text'])}
    shapes = [shape for which in lists for shape in _listed(folder / LISTS.format(which))]
    strange = sorted({shape.split('/')[0] for shape in shapes} - set(labels))
    absent = [shape for shape in shapes if not (folder / f'{shape}.txt').is_file()]
    problems = []
    if strange:
        problems.append(f'listed folders that {TABLES["text"]} does not name: {some(strange)}')
    if absent:
        problems.append(f'{len(absent):,} listed shapes have no file: {some(absent)}')
    raise_all(problems, f'{folder} does not hold what its lists name:')
    clouds = []
    for shape in tqdm.tqdm(shapes, 'ShapeNetPart', disable=len(shapes) < 1000):
        try:
            clouds.append(_table(folder / f'{shape}.txt'))
        except UserError as error:
            problems.append(str(error))
    raise_all(problems, f'{len(problems):,} files of {folder} cannot be read:')
    categories = np.array([labels[shape.split('/')[0]] for shape in shapes], np.int32)
    return clouds, categories, shapes


def _listed(path: pathlib.Path) -> list[str]:
    """The shapes of a list, as 'folder/name'."""
    if not path.is_file():
        raise UserError(
            f'no file {path}; {h5.listing(path.parent)}; expected the lists of train, val and '
            'test as the release has them'
        )
    entries = _json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f'{path} should be a list of shapes, ["shape_data/02954340/18387b", ...]')
    return ['/'.join(str(entry).split('/')[-2:]) for entry in entries]


def _table(path: pathlib.Path) -> np.ndarray:
    """A shape's file as [N, 4] in its precision: x, y, z, part."""
    table = point_files.read_table(path)
    if table.shape[1] not in COLUMNS:
        raise UserError(
            f'{path}: {table.shape[1]} columns; expected 7, x y z nx ny nz part (or 4, x y z part)'
        )
    return table[:, [0, 1, 2, -1]]


def _read_h5(folder: pathlib.Path, lists: Sequence[str], names: Sequence[str]) -> Clouds:
    """As `_read_text`."""
    paths = []
    for which in lists:
        path = folder / f'{which}_hdf5_file_list.txt'
        if not path.is_file():
            raise UserError(f'no file {path}; {h5.listing(folder)}; expected a list of h5 files')
        paths += [folder / pathlib.PurePosixPath(line).name for line in read_names(path)]
    points, labels, parts = h5.read_all(paths, ('data', 'label', 'pid'))
    problems = checks.problems(points, labels, names, complete=False)
    if not problems and parts.shape != points.shape[:2]:
        problems.append(
            f'pid has shape {list(parts.shape)}; expected {list(points.shape[:2])}, a part a point'
        )
    raise_all(problems, f'the h5 files of {folder} are not as they should be:')
    precise = np.result_type(points.dtype, np.float32)
    clouds = list(np.concatenate([points, parts[..., None]], axis=-1, dtype=precise))
    shapes = [f'{lists[0]} {index}' for index in range(len(clouds))]
    return clouds, labels.astype(np.int32), shapes


def _part_names(parts: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """'Cap 6' for part 6; ids that no category has are 'unused'."""
    names = ['unused'] * (1 + max(max(ids) for ids in parts.values()))
    for category, ids in parts.items():
        for part in ids:
            names[part] = f'{category} {part}' if names[part] == 'unused' else f'shared {part}'
    return tuple(names)


_READERS = {'text': _read_text, 'hdf5': _read_h5}
