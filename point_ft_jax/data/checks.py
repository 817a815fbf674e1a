"""What must hold for labelled clouds before anything trains on them: one check for every reader."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import likeness, precision

COLOURS = ('red', 'green', 'blue')


def problems(
    points: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    complete: bool = True,
    channels: Sequence[str] = (),
) -> list[str]:
    """Everything wrong with the arrays of a split, a sentence each; empty if they are sound.

    Args:
        points: to be [S, N, 3 + F], real and finite, no cloud shrunk to one point.
        labels: to be [S], integers in 0..len(classes)-1.
        classes: the class names by label.
        complete: whether every class must have a cloud.
        channels: the names of the F columns after x, y, z.
    """
    found = [*_shape_problems(points, labels, channels)]
    if not found:
        found += _value_problems(points)
        found += _colour_problems(points, channels)
        found += _label_problems(labels, classes, complete)
    return found


def check_clouds(
    points: 'ArrayLike', channels: Sequence[str] = (), measured: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Clouds as float32 [S, N, 3 + F], after the checks of every reader: at every door of a model.

    These are of shape, type, values and extent; `channels` are the names of the F columns. With
    what was `measured` of the training clouds (see `likeness.measures`) it warns if most of these
    are of another scale, number of points or order of axes.

    Raises:
        UserError: everything that is wrong with them, in one message.
    """
    clouds = regular(points, 'points')
    labels = np.zeros(len(clouds) if clouds.ndim else 0, int)
    found = problems(clouds, labels, [''], complete=False, channels=channels)
    raise_all(found, 'these clouds cannot be used:')
    clouds = precision.to_float32(clouds)
    if measured is not None:
        likeness.warn_of_differences(clouds, measured)
    return clouds


def cloud_problems(clouds: Sequence[np.ndarray], names: Sequence[str]) -> list[str]:
    """What is wrong with the coordinates, the first three columns, of clouds of any size."""
    broken, flat, merged, lost = [], [], [], []
    for cloud, name in zip(clouds, names, strict=True):
        low, high = cloud[:, :3].min(axis=0), cloud[:, :3].max(axis=0)
        if not np.isfinite([low, high]).all():
            broken.append(name)
        elif (low == high).all():
            flat.append(name)
        elif precision.are_merged(cloud[None, :, :3])[0]:
            merged.append(name)
        elif precision.are_beside_outliers(cloud[None], low[None], high[None])[0]:
            lost.append(name)
    found = []
    if broken:
        found.append(f'NaN or infinite coordinates in {len(broken):,} clouds: {some(broken)}')
    if flat:
        found.append(f'{len(flat):,} clouds have all points in one place: {some(flat)}')
    if merged:
        found.append(_merged(len(merged), some(merged)))
    if lost:
        found.append(_lost(len(lost), some(lost)))
    return found


def _lost(count: int, which: str) -> str:
    return (
        f'{count:,} clouds are too small beside the distance of single points of theirs: {which}; '
        'single precision cannot hold both. Remove the points that are far from the others, such '
        'as (0, 0, 0) for what a scanner did not see'
    )


def _merged(count: int, which: str) -> str:
    return (
        f'{count:,} clouds have lost their shape to rounding: {which}; their coordinates are so '
        f'large that single precision has fewer than {precision.STEPS} steps over the extent: save '
        'them as float64, or subtract an offset before they are saved'
    )


def part_problems(
    part_labels: Sequence[np.ndarray],
    labels: np.ndarray,
    names: Sequence[str],
    parts: Mapping[str, Sequence[int]],
) -> list[str]:
    """What is wrong with part labels [N] of clouds; `parts` are those that each class may have."""
    classes, wrong, broken = list(parts), [], []
    for values, label, name in zip(part_labels, labels, names, strict=True):
        if not (np.isfinite(values) & (values == np.floor(values))).all():
            broken.append(name)
            continue
        strange = np.setdiff1d(values, list(parts[classes[label]]))
        if len(strange):
            wrong.append(f'{name} ({classes[label]}) has {some(strange.astype(int))}')
    found = []
    if broken:
        found.append(
            f'{len(broken):,} clouds have part labels that are no whole numbers: {some(broken)}'
        )
    if wrong:
        allowed = [f'{name} {list(ids)}' for name, ids in parts.items()]
        found.append(
            f'{len(wrong):,} clouds have parts outside their category: {some(wrong)}; expected '
            f'{some(allowed)}'
        )
    return found


def is_turned(shape: Sequence[int]) -> bool:
    """Whether a table of points is on its side: [3, N] in place of [N, 3], or [6, N] of [N, 6]."""
    rows, columns = shape
    return columns > max(rows, 3)


def are_part_ids(value: object) -> bool:
    """Whether a value is a list of part ids: one whole number from 0 or more, none twice."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(type(part) is int and part >= 0 for part in value)
        and len(set(value)) == len(value)
    )


def _shape_problems(points: np.ndarray, labels: np.ndarray, channels: Sequence[str]) -> list[str]:
    found, width = [], 3 + len(channels)
    if points.dtype.kind not in 'fiu':
        found.append(f'points are {points.dtype}; expected real numbers, as float32')
    if points.ndim != 3 or points.shape[2] != width or 0 in points.shape:
        named = f' for x, y, z, {", ".join(channels)}' if channels else ''
        found.append(
            f'points have shape {list(points.shape)}; expected [clouds, points, {width}]{named}'
            + _hint(points)
        )
    if labels.dtype.kind not in 'iu':
        found.append(f'labels are {labels.dtype}; expected integers')
    if labels.ndim != 1:
        found.append(f'labels have shape {list(labels.shape)}; expected [clouds]')
    elif points.ndim and len(points) != len(labels):
        found.append(f'{len(points):,} clouds but {len(labels):,} labels; expected one label each')
    return found


def _hint(points: np.ndarray) -> str:
    if points.ndim == 3 and is_turned(points.shape[1:]):
        return ': swap the last two axes, points.swapaxes(1, 2)'
    if points.ndim == 3 and points.shape[2] > 3:
        return ': keep x, y, z with points[..., :3]'
    if points.ndim == 2:
        return ': for one cloud add an axis with points[None]'
    return ''


def _value_problems(points: np.ndarray) -> list[str]:
    limit = np.finfo(np.float32).max  # what is beyond it would become infinite as float32
    low, high = points.min(axis=1), points.max(axis=1)
    finite = ((low >= -limit) & (high <= limit)).all(axis=1)
    broken = np.flatnonzero(~finite)
    # What single precision takes for 0 has no extent.
    with np.errstate(invalid='ignore'):  # of infinities, which are told of as such
        same = (high[:, :3] / 2.0 - low[:, :3] / 2.0 <= np.finfo(np.float32).tiny).all(axis=1)
    flat = np.flatnonzero(finite & same)
    merged = precision.are_merged(points) & finite & ~same
    beside = precision.are_beside_outliers(points, low, high)
    lost = np.flatnonzero(beside & finite & ~same & ~merged)
    merged = np.flatnonzero(merged)
    found = []
    if len(broken):
        found.append(
            f'NaN or infinite coordinates in {len(broken):,} clouds (numbers {some(broken)}); '
            'repair or leave out these clouds'
        )
    if len(flat):
        found.append(
            f'{len(flat):,} clouds have all points in one place (numbers {some(flat)}); '
            'leave out these clouds'
        )
    if len(merged):
        found.append(_merged(len(merged), f'numbers {some(merged)}'))
    if len(lost):
        found.append(_lost(len(lost), f'numbers {some(lost)}'))
    return found


def _colour_problems(points: np.ndarray, channels: Sequence[str]) -> list[str]:
    """A sentence where colours are in another unit than 0..1."""
    columns = [3 + i for i, name in enumerate(channels) if name in COLOURS]
    if not columns or (most := points[..., columns].max()) <= 1.001:
        return []
    return [
        f'colours go up to {most:g}; expected 0..1: divide them by {65535 if most > 256 else 255}'
    ]


def regular(values: ArrayLike, name: str) -> np.ndarray:
    """Values as an array, NaN where they are masked.

    Raises:
        UserError: clouds of different sizes; `name` says what is to be of one.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in 'fiu' and values.mask.any():
        return values.astype(np.result_type(values.dtype, np.float32)).filled(np.nan)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UserError(
            f'{name} are no regular array ({error}); expected the same number of points in every '
            'cloud: subsample the clouds to one size'
        ) from None


def numbered(labels: np.ndarray, where: str) -> tuple[str, ...]:
    """Class names for labels [S] without any: '0', '1', ...; () where there are no such labels.

    Raises:
        UserError: a label that is no number of a class; `where` says whose it is.
    """
    if labels.dtype.kind not in 'iu' or not labels.size:
        return ()
    most, largest = 10 * labels.size + 1000, int(labels.max())
    if largest > most:
        raise UserError(
            f'{where} a label of {largest:,} and {labels.size:,} clouds; expected the numbers of '
            'classes, from 0 on'
        )
    return tuple(str(label) for label in range(largest + 1))


def _label_problems(labels: np.ndarray, classes: Sequence[str], complete: bool) -> list[str]:
    count = len(classes)
    outside = np.unique(labels[(labels < 0) | (labels >= count)])
    if len(outside):
        shifted = labels.min() == 1 and labels.max() == count
        return [
            f'labels out of range: {some(outside)}; expected 0..{count - 1} for the '
            f'{count} classes {some(classes)}'
            + ('; they seem to start at 1: subtract 1' if shifted else '')
        ]
    present = set(np.unique(labels).tolist())
    empty = [name for label, name in enumerate(classes) if label not in present]
    if complete and empty:
        shifted = empty == [classes[0]] and labels.min() == 1
        return [
            f'{len(empty)} of {count} classes have no cloud: {some(empty)}; '
            'add clouds of these classes or leave the classes out'
            + ('; or do the labels start at 1? Then subtract 1' if shifted else '')
        ]
    return []
