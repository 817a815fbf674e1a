"""The embedded shapes: fifteen procedural classes named as in ScanObjectNN, nothing to download.

Two styles mirror the shift that the papers tune across. `cad` is complete, clean, in its canonical
pose and in the unit sphere: the role of ShapeNet and ModelNet40. `scan` is what a depth camera
sees, turned at random about the vertical axis y, in ScanObjectNN's three variants: `obj_only`
(hidden surfaces gone, noise, holes), `obj_bg` (with floor, wall and neighbours too) and `pb_t50_rs`
(in a box that misses the object by up to half its size, and scaled).

A cloud depends on the seed, the split and its number, not on how many there are; and cloud i shows
the same object in every style and variant.
"""

import hashlib
import pathlib

import numpy as np

from point_ft_jax.core import cache
from point_ft_jax.core.errors import raise_all
from point_ft_jax.data import shapes as generator
from point_ft_jax.data.shapes.classes import (
    BACKGROUND,
    BUILDERS,
    CLASSES,
    PART_NAMES,
    PARTS,
    part_ids,
)
from point_ft_jax.data.shapes.clouds import VARIANTS, complete, scanned
from point_ft_jax.data.shapes.solids import Solid
from point_ft_jax.data.split import Split

__all__ = [
    'BACKGROUND',
    'CLASSES',
    'PARTS',
    'PART_NAMES',
    'VARIANTS',
    'assembly',
    'load',
    'part_ids',
]

SPLITS = ('train', 'test')
STYLES = ('cad', 'scan')
PURPOSES = ('object', 'cloud')
KEPT_FROM = 200  # clouds, which take half a second


def load(
    split: str,
    *,
    style: str = 'scan',
    variant: str = 'pb_t50_rs',
    num_points: int = 1024,
    train_size: int = 1200,
    test_size: int = 300,
    seed: int = 0,
) -> Split:
    """Makes the clouds of a split; of a large one, finds those of an earlier call.

    Args:
        split: 'train' or 'test', which share no object.
        style: 'cad' or 'scan'.
        variant: of the style 'scan': 'obj_only', 'obj_bg' or 'pb_t50_rs'. 'cad' has no variants.
        num_points: points in a cloud, in random order.
        train_size: clouds in the split 'train', a multiple of 15: as many of every class.
        test_size: clouds in the split 'test', likewise.
        seed: another seed, another data set.

    Returns:
        S clouds, [S, num_points, 3] float32 within the unit sphere, y up. Cloud i has the label
        i % 15. Part labels are indices into `PART_NAMES`: one of `part_ids(class)`, or `BACKGROUND`
        (0) for a point that isn't the object's, where the variant has any.

    Raises:
        UserError: an unknown split, style or variant, or a number out of range.
    """
    raise_all(
        [
            *_choice_problems({'split': split, 'style': style, 'variant': variant}),
            *_number_problems(num_points, train_size, test_size, seed),
        ],
        'The embedded shapes cannot be made:',
    )
    size = train_size if split == 'train' else test_size
    look = style if style == 'cad' else variant
    points, parts = (_made if size >= KEPT_FROM else _make)(split, look, num_points, size, seed)
    around = () if style == 'cad' or variant == 'obj_only' else (BACKGROUND,)
    return Split(
        points,
        np.arange(size, dtype=np.int32) % len(CLASSES),
        CLASSES,
        parts,
        part_names=PART_NAMES,
        parts=tuple((*around, *part_ids(name)) for name in CLASSES),
    )


def _made(
    split: str, look: str, num_points: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `_make` gives, from disk where it is there already."""
    name = f'{split}_{look}_{size}x{num_points}_seed{seed}_{_version()}.npz'
    path = cache.folder() / 'shapes' / name
    kept = cache.read(path, 'points', 'parts')
    if kept is None:
        kept = _make(split, look, num_points, size, seed)
        cache.write(path, points=kept[0], parts=kept[1])
    return tuple(kept)


def _make(
    split: str, look: str, num_points: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points [S, N, 3] and part labels [S, N] of 'cad' or of a variant of 'scan'."""
    points = np.empty((size, num_points, 3), np.float32)
    parts = np.empty((size, num_points), np.int32)
    for number in range(size):
        name = CLASSES[number % len(CLASSES)]
        solids, rng = assembly(split, number, seed), _stream(seed, split, number, 'cloud')
        if look == 'cad':
            cloud = complete(name, solids, num_points, rng)
        else:
            cloud = scanned(name, solids, look, num_points, rng)
        points[number], parts[number] = cloud.points, cloud.parts
    return points, parts


def _version() -> str:
    """Another one for another generator: a digest of its code, and of numpy's version."""
    sources = [pathlib.Path(__file__), *pathlib.Path(generator.__file__).parent.glob('*.py')]
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def assembly(split: str, number: int, seed: int = 0) -> list[Solid]:
    """The object that cloud `number` of a split shows: its solids, in metres or so."""
    build = BUILDERS[CLASSES[number % len(CLASSES)]]
    return build(_stream(seed, split, number, 'object'))


def _stream(seed: int, split: str, number: int, purpose: str) -> np.random.Generator:
    key = [seed, SPLITS.index(split), number, PURPOSES.index(purpose)]
    return np.random.default_rng(key)


def _choice_problems(chosen: dict[str, str]) -> list[str]:
    choices = {'split': SPLITS, 'style': STYLES, 'variant': VARIANTS}
    return [
        f'{setting} is {value!r}; choose one of {", ".join(choices[setting])}'
        for setting, value in chosen.items()
        if value not in choices[setting]
    ]


def _number_problems(num_points: int, train_size: int, test_size: int, seed: int) -> list[str]:
    problems = []
    if not _is_whole(num_points, 1):
        problems.append(f'num_points is {num_points!r}; give a whole number of at least 1')
    for setting, size in (('train_size', train_size), ('test_size', test_size)):
        if not _is_whole(size, len(CLASSES)) or size % len(CLASSES):
            problems.append(
                f'{setting} is {size!r}; give a positive multiple of {len(CLASSES)}, '
                'so that every class has as many clouds'
            )
    if not _is_whole(seed, 0):
        problems.append(f'seed is {seed!r}; give a whole number of at least 0')
    return problems


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
