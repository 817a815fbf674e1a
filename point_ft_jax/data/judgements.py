"""What is odd about a data set though it can be read: one list, for the readers and check_data."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import some
from point_ft_jax.data import precision
from point_ft_jax.data.files.inventory import Unused

FAR = 100  # times its extent from the origin: normalise it, or the model sees its place alone
UNITS = 20  # times larger or smaller than the others: another unit?
MIXERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))
UNEQUAL = 10  # times more clouds in one class than in another


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is known of the clouds of a split as their files hold them, before any subsampling.

    Attributes:
        names: of the clouds [S].
        labels: [S].
        sizes: [S], the number of points.
        extents: [S], the longest side of the box.
        offsets: [S], the distance from the origin along an axis.
        digests: [S], equal for clouds of the same points, in whatever order.
    """

    names: Sequence[str]
    labels: np.ndarray
    sizes: np.ndarray
    extents: np.ndarray
    offsets: np.ndarray
    digests: Sequence[bytes]


def survey(clouds: Iterable[np.ndarray], labels: np.ndarray, names: Sequence[str]) -> Survey:
    """The survey of clouds [N, 3 or more] in the precision of their files."""
    rows = [
        (len(c), precision.extents(c[None])[0], precision.offsets(c[None])[0], digest(c))
        for c in clouds
    ]
    sizes, extents, offsets, digests = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Survey(names, labels, *map(np.array, (sizes, extents, offsets)), digests)


def digest(cloud: np.ndarray) -> bytes:
    """The same for clouds of the same points in any order, whatever the precision of the file."""
    far = precision.are_far(cloud[None])[0]
    points = precision.centred(cloud[:, :3]) if far else cloud[:, :3]
    words = (np.asarray(points, np.float32) + np.float32(0)).view(np.uint32)  # -0 is 0
    sums = []
    for start in MIXERS:  # a sum over points has no order; two of 64 bits meet by chance never
        state = np.full(len(words), start)
        for column in words.T:
            state = (state ^ column) * MIXERS[0]
            state = (state ^ (state >> np.uint64(29))) * MIXERS[1]
            state ^= state >> np.uint64(32)
        sums.append(state.sum())
    return np.array([len(cloud), *sums], np.uint64).tobytes()


def judged(
    surveys: Mapping[str, Survey], classes: Sequence[str], unused: Unused | None = None
) -> list[str]:
    """What a user should know of the splits of a data set though it can be read, in sentences."""
    found = [*_shared(surveys, classes), *_repeated(surveys)]
    found += [*_sizes(surveys), *_places(surveys), *_units(surveys, classes)]
    return [*found, *_balance(surveys, classes), *(unused.lines() if unused else [])]


def _shared(surveys: Mapping[str, Survey], classes: Sequence[str]) -> list[str]:
    """Clouds in both splits, and clouds with two labels."""
    where = collections.defaultdict(list)
    for split, one in surveys.items():
        for name, label, key in zip(one.names, one.labels.tolist(), one.digests, strict=True):
            where[key].append((split, name, label))
    groups = [group for group in where.values() if len(group) > 1]
    both = [group for group in groups if len({split for split, _, _ in group}) > 1]
    torn = [group for group in groups if len({label for _, _, label in group}) > 1]
    found = []
    if both:
        count = sum(split == 'test' for group in both for split, _, _ in group)
        pairs = [' = '.join(name for _, name, _ in group[:3]) for group in both]
        found.append(
            f'{count:,} clouds of test are also in train ({some(pairs, 3)}): the test accuracy '
            'will be too high'
        )
    if torn:
        pairs = [
            ' = '.join(f'{name} ({classes[label]})' for _, name, label in group[:3])
            for group in torn
        ]
        found.append(f'{len(torn):,} clouds have two labels: {some(pairs, 3)}')
    return found


def _repeated(surveys: Mapping[str, Survey]) -> list[str]:
    found = []
    for split, one in surveys.items():
        groups = collections.defaultdict(list)
        for name, key in zip(one.names, one.digests, strict=True):
            groups[key].append(name)
        again = [' = '.join(names[:3]) for names in groups.values() if len(names) > 1]
        if again:
            found.append(f'{len(again):,} clouds occur more than once in {split}: {some(again, 3)}')
    return found


def _sizes(surveys: Mapping[str, Survey]) -> list[str]:
    """The numbers of points, where they differ, and the odd ones by name."""
    sizes = np.concatenate([one.sizes for one in surveys.values()])
    if not len(sizes) or sizes.min() == sizes.max():
        return []
    middle = float(np.median(sizes))
    named = [
        (size, f'{name} {size:,}')
        for one in surveys.values()
        for name, size in zip(one.names, one.sizes.tolist(), strict=True)
        if not middle / 2 <= size <= middle * 2
    ]
    odd = [text for _, text in sorted(named)]
    return [
        f'points a cloud: {sizes.min():,} to {sizes.max():,}, median {middle:,.0f}'
        + (f'; less than half of it or more than twice: {some(odd)}' if odd else '')
    ]


def _places(surveys: Mapping[str, Survey]) -> list[str]:
    far = [
        name
        for one in surveys.values()
        for name, size, place in zip(one.names, one.extents, one.offsets, strict=True)
        if place > FAR * size > 0
    ]
    if not far:
        return []
    size, place = (
        np.median(np.concatenate([getattr(one, field) for one in surveys.values()]))
        for field in ('extents', 'offsets')
    )
    return [
        f'{len(far):,} clouds lie more than {FAR} times their extent from the origin: '
        f'{some(far, 3)} (median extent {size:.3g}, median distance {place:.8g}); normalise them'
    ]


def _units(surveys: Mapping[str, Survey], classes: Sequence[str]) -> list[str]:
    """Classes, and clouds in a class, of another order of size than the others."""
    extents = np.concatenate([one.extents for one in surveys.values()])
    labels = np.concatenate([one.labels for one in surveys.values()])
    names = [name for one in surveys.values() for name in one.names]
    medians = {label: float(np.median(extents[labels == label])) for label in np.unique(labels)}
    middle = float(np.median([*medians.values()])) if medians else 0
    found, odd = [], []
    for label, size in medians.items():
        if _differ(size, middle):
            found.append(f'{classes[label]} {size:.3g}')
        for index in np.flatnonzero(labels == label):
            if _differ(extents[index], size):
                odd.append(f'{names[index]} {extents[index]:.3g}, its class {size:.3g}')
    if found:
        found = [f'classes of another size than the others ({middle:.3g}): {some(found)}']
    if odd:
        found.append(f'{len(odd):,} clouds of another size than their class: {some(odd, 3)}')
    return [f'{text}; is it another unit, such as mm for m?' for text in found]


def _differ(size: float, other: float) -> bool:
    return size > 0 < other and abs(math.log(size / other)) > math.log(UNITS)


def _balance(surveys: Mapping[str, Survey], classes: Sequence[str]) -> list[str]:
    counts = {
        split: np.bincount(one.labels, minlength=len(classes)) for split, one in surveys.items()
    }
    found = []
    for split, count in counts.items():
        absent = [classes[label] for label in np.flatnonzero(count == 0)]
        if absent:
            found.append(f'{split} has no cloud of {some(absent)}')
    count = counts.get('train', np.zeros(0))
    if len(count) and count.max() >= UNEQUAL * max(count.min(), 1):
        most, least = int(count.argmax()), int(count.argmin())
        found.append(
            f'classes are unequal in train: {classes[most]} {count[most]:,}, {classes[least]} '
            f'{count[least]:,}; see class_weights, and the mean class accuracy'
        )
    return found
