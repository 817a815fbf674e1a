"""The embedded shapes: procedural objects of 15 or 40 classes or of none, nothing to download.

The classes are named as in ScanObjectNN (`classes='scan15'`) or as in ModelNet40 (`'cad40'`).
Two styles mirror the shift that the papers tune across. `cad` is complete, clean, in its canonical
pose and in the unit sphere: the role of ShapeNet and ModelNet40. `scan` is what a depth camera
sees, turned at random about the vertical axis y, in ScanObjectNN's three variants: `obj_only`
(hidden surfaces gone, noise, holes), `obj_bg` (with floor, wall and neighbours too) and `pb_t50_rs`
(in a box that misses the object by up to half its size, and scaled). A third style is there to
pre-train on without labels: `assemblies` are random compositions of all solids, complete and clean.

A cloud depends on the seed, the split and its number, not on how many there are; and cloud i shows
the same object in every variant and in the styles `cad` and `scan`.
"""

import hashlib
import pathlib
from typing import NamedTuple

import numpy as np

from point_ft_jax.core import cache
from point_ft_jax.core.errors import raise_all
from point_ft_jax.data import shapes as generator
from point_ft_jax.data.shapes.classes import BACKGROUND, CLASS_SETS
from point_ft_jax.data.shapes.clouds import VARIANTS, complete, scanned, turned
from point_ft_jax.data.shapes.compositions import PART, composition
from point_ft_jax.data.shapes.solids import Solid
from point_ft_jax.data.shared_classes import only_shared
from point_ft_jax.data.split import Split

__all__ = ['BACKGROUND', 'CLASS_SETS', 'VARIANTS', 'assembly', 'load']

SPLITS = ('train', 'test')
STYLES = ('cad', 'scan', 'assemblies')
PURPOSES = ('object', 'cloud', 'plan')
# What tells the streams of one set of objects from another's. That of scan15 has to be empty: it
# was the first, and its clouds stay as they are.
OBJECTS = {'scan15': (), 'cad40': (1,), 'assemblies': (2,)}
# Clouds to train and to test on.
SIZES = {'scan15': (1200, 300), 'cad40': (2000, 1000), 'assemblies': (4000, 400)}
KEPT_FROM = 200  # clouds, which take half a second


class _Recipe(NamedTuple):
    """Which clouds: all that the bits of one depend on, but for its number."""

    split: str
    objects: str  # a set of classes, or 'assemblies'
    look: str  # 'cad', or a variant of 'scan'
    num_points: int
    seed: int
    kinds: int | None = None  # of 'assemblies'

    def stream(self, number: int, purpose: str) -> np.random.Generator:
        """Where the randomness of a cloud comes from."""
        return self._generator(SPLITS.index(self.split), number, purpose)

    def plan(self, number: int) -> np.random.Generator:
        """Where the plan of a composition comes from: of a kind, it is that of both splits."""
        if self.kinds is None:
            return self.stream(number, 'plan')
        return self._generator(len(SPLITS), number % self.kinds, 'plan')

    def _generator(self, split: int, number: int, purpose: str) -> np.random.Generator:
        key = (self.seed, split, number, PURPOSES.index(purpose), *OBJECTS[self.objects])
        return np.random.default_rng(key)


def load(
    split: str,
    *,
    style: str = 'scan',
    variant: str = 'pb_t50_rs',
    classes: str = 'scan15',
    kinds: int | None = None,
    num_points: int = 1024,
    train_size: int | None = None,
    test_size: int | None = None,
    seed: int = 0,
    shared: str | None = None,
) -> Split:
    """Makes the clouds of a split; of a large one, finds those of an earlier call.

    Args:
        split: 'train' or 'test', which share no object.
        style: 'cad', 'scan' or 'assemblies'.
        variant: of the style 'scan': 'obj_only', 'obj_bg' or 'pb_t50_rs'. The others have no
            variants.
        classes: of the styles 'cad' and 'scan': 'scan15' or 'cad40'.
        kinds: of the style 'assemblies': how many plans there are, which both splits share. Clouds
            of one plan differ in sizes. None is a plan for every cloud.
        num_points: points in a cloud, in random order.
        train_size: clouds in the split 'train', a multiple of the number C of classes: as many of
            every class. None is 1,200 of scan15, 2,000 of cad40 and 4,000 assemblies.
        test_size: clouds in the split 'test', likewise. None is 300, 1,000 and 400.
        seed: another seed, another data set.
        shared: 'scan11' for the clouds of the 11 classes that both sets of classes have, under the
            names of scan15: the shift from CAD models to scans; see `data.shared_classes`. The
            sizes count the clouds before.

    Returns:
        S clouds, [S, num_points, 3] float32 within the unit sphere, y up. Cloud i has the label
        i % C; C is 15 or 40, the number of kinds, or 1 (the class 'assembly'). Part labels are
        indices into `part_names`: one of the class's, or `BACKGROUND` (0) for a point that isn't
        the object's, where the variant has any. Assemblies have none.

    Raises:
        UserError: an unknown split, style, variant or set of classes, a number out of range, or an
            option that the style does not have.
    """
    choices = {'split': split, 'style': style, 'variant': variant, 'classes': classes}
    problems = [*_choice_problems(choices), *_style_problems(style, classes, kinds)]
    names = _class_names(style, classes, kinds) if not problems else ()
    objects = style if style == 'assemblies' else classes
    sizes = _sizes(objects, train_size, test_size)
    problems += _number_problems(num_points, seed) + _size_problems(sizes, len(names))
    raise_all(problems, 'The embedded shapes cannot be made:')
    size = sizes[f'{split}_size']
    look = variant if style == 'scan' else 'cad'
    recipe = _Recipe(split, objects, look, num_points, seed, kinds)
    points, parts = (_made if size >= KEPT_FROM else _make)(recipe, size)
    labels = np.arange(size, dtype=np.int32) % len(names)
    if style == 'assemblies':
        return only_shared(Split(points, labels, names), shared)
    kinds_of = CLASS_SETS[classes]
    around = (BACKGROUND,) if look in ('obj_bg', 'pb_t50_rs') else ()
    made = Split(
        points,
        labels,
        names,
        parts,
        part_names=kinds_of.part_names,
        parts=tuple((*around, *kinds_of.part_ids(name)) for name in names),
    )
    return only_shared(made, shared)


def assembly(split: str, number: int, seed: int = 0, classes: str = 'scan15') -> list[Solid]:
    """The object that cloud `number` of a split shows: its solids, in metres or so."""
    return _object(_Recipe(split, classes, 'cad', 1, seed), number)


def _sizes(objects: str, train_size: int | None, test_size: int | None) -> dict[str, int]:
    given, usual = (train_size, test_size), SIZES.get(objects, SIZES['scan15'])
    names = (f'{split}_size' for split in SPLITS)
    sizes = (own if size is None else size for size, own in zip(given, usual, strict=True))
    return dict(zip(names, sizes, strict=True))


def _class_names(style: str, classes: str, kinds: int | None) -> tuple[str, ...]:
    if style != 'assemblies':
        return CLASS_SETS[classes].names
    if kinds is None:
        return ('assembly',)
    return tuple(f'assembly {kind}' for kind in range(kinds))


def _made(recipe: _Recipe, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What `_make` gives, from disk where it is there already."""
    parts = [str(field) for field in recipe if field is not None]
    path = cache.folder() / 'shapes' / f'{"_".join(parts)}_{size}_{_version()}.npz'
    kept = cache.read(path, 'points', 'parts')
    if kept is None:
        kept = _make(recipe, size)
        cache.write(path, points=kept[0], parts=kept[1])
    return tuple(kept)


def _make(recipe: _Recipe, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [S, N, 3] and part labels [S, N]."""
    aligned = recipe.objects == 'assemblies' or CLASS_SETS[recipe.objects].aligned
    points = np.empty((size, recipe.num_points, 3), np.float32)
    parts = np.empty((size, recipe.num_points), np.int32)
    for number in range(size):
        solids, rng = _object(recipe, number), recipe.stream(number, 'cloud')
        ids = _part_ids(recipe.objects, number)
        if recipe.look == 'cad':
            cloud = complete(ids, solids, recipe.num_points, rng)
            if not aligned:
                cloud = turned(cloud, rng)
        else:
            cloud = scanned(ids, solids, recipe.look, recipe.num_points, rng)
        points[number], parts[number] = cloud.points, cloud.parts
    return points, parts


def _object(recipe: _Recipe, number: int) -> list[Solid]:
    rng = recipe.stream(number, 'object')
    if recipe.objects == 'assemblies':
        return composition(recipe.plan(number), rng)
    classes = CLASS_SETS[recipe.objects]
    return classes.build(number % len(classes.names), rng)


def _part_ids(objects: str, number: int) -> dict[str, int]:
    """The ids of an object's parts by their names; compositions have one part."""
    if objects == 'assemblies':
        return {PART: BACKGROUND}
    classes = CLASS_SETS[objects]
    return classes.ids_by_part(classes.names[number % len(classes.names)])


def _version() -> str:
    """Another one for another generator: a digest of its code, and of numpy's version."""
    sources = [pathlib.Path(__file__), *pathlib.Path(generator.__file__).parent.glob('*.py')]
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _choice_problems(chosen: dict[str, str]) -> list[str]:
    choices = {'split': SPLITS, 'style': STYLES, 'variant': VARIANTS, 'classes': tuple(CLASS_SETS)}
    return [
        f'{setting} is {value!r}; choose one of {", ".join(choices[setting])}'
        for setting, value in chosen.items()
        if value not in choices[setting]
    ]


def _style_problems(style: str, classes: str, kinds: int | None) -> list[str]:
    """Options of another style, which would be ignored without a word."""
    if style != 'assemblies':
        if kinds is None:
            return []
        return [f"kinds is {kinds!r}, which only the style 'assemblies' has; leave it out"]
    problems = []
    if classes != 'scan15':
        problems.append(
            f"classes is {classes!r}, but the style 'assemblies' has none; leave it out"
        )
    if kinds is not None and not _is_whole(kinds, 1):
        problems.append(f'kinds is {kinds!r}; give a whole number of at least 1')
    return problems


def _number_problems(num_points: int, seed: int) -> list[str]:
    problems = []
    if not _is_whole(num_points, 1):
        problems.append(f'num_points is {num_points!r}; give a whole number of at least 1')
    if not _is_whole(seed, 0):
        problems.append(f'seed is {seed!r}; give a whole number of at least 0')
    return problems


def _size_problems(sizes: dict[str, int], count: int) -> list[str]:
    """What is wrong with the numbers of clouds; nothing if the `count` of classes isn't known."""
    return [
        f'{setting} is {size!r}; give a positive multiple of {count}, so that every class has as '
        'many clouds'
        for setting, size in sizes.items()
        if count and (not _is_whole(size, 1) or size % count)
    ]


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
