"""From the precision of a file to the single precision of a model, without losing a cloud's shape.

Single precision has 24 bits: of a cloud of 0.2 m whose northing is 5,412,000 m it would keep one
step. So clouds stay in the precision of their file until they are cut to size and normalised, and
are cast last, by `to_float32`.
"""

from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import some, warn

FAR = 1000  # times its extent: what lies farther from the origin is moved there before it is cast
SAMPLE = 64  # points that tell where most of a cloud is
STEPS = 64  # an extent of fewer steps of its number type has lost the cloud's shape


def to_float32(points: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
    """Clouds [S, N, 3 or more] as float32; those far from the origin are centred before the cast.

    A cloud is far if its distance is more than `FAR` times its extent. Its centroid is subtracted,
    in float64, and a warning says of how many clouds; the others keep their place.

    Args:
        points: finite numbers of any type; the first three columns are x, y, z.
        names: the clouds' names, for the warning.
    """
    far = np.flatnonzero(are_far(points))
    if not len(far):
        return points.astype(np.float32, copy=False)
    result = np.empty(points.shape, np.float32)
    for index, cloud in enumerate(points):
        result[index] = cloud
    for index in far:
        result[index, :, :3] = centred(points[index, :, :3])
    shown = some(names[index] if names else f'number {index}' for index in far)
    size, distance = extents(points[far[:1]])[0], offsets(points[far[:1]])[0]
    warn(
        f'{len(far):,} of {len(points):,} clouds lie far from the origin: {shown}; the first has '
        f'an extent of {size:.3g} at {distance:.8g}. Each of them is moved, its centroid to the '
        'origin; subtract an offset of your own, or normalise the clouds, to choose their place',
    )
    return result


def centred(cloud: np.ndarray) -> np.ndarray:
    """A cloud [N, 3] less its centroid, float64."""
    return cloud - cloud.mean(axis=0, dtype=np.float64)


def are_far(points: np.ndarray) -> np.ndarray:
    """Which of the clouds [S, N, 3 or more] lie more than `FAR` times their extent away, [S]."""
    size = extents(points)
    return (offsets(points) > FAR * size) & (size > 0)


def extents(points: np.ndarray) -> np.ndarray:
    """The longest side of each cloud's box, [S] float64."""
    xyz = points[..., :3]
    return (xyz.max(axis=-2).astype(np.float64) - xyz.min(axis=-2)).max(axis=-1)


def offsets(points: np.ndarray) -> np.ndarray:
    """The largest coordinate of each cloud's centre, [S] float64."""
    xyz = points[..., :3]
    return np.abs(xyz.max(axis=-2) / 2.0 + xyz.min(axis=-2) / 2.0).max(axis=-1)


def are_beside_outliers(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which of the clouds are small beside the distance of a point of theirs, [S].

    A scanner may write (0, 0, 0) for what it did not see. Where the middle half of a cloud spans
    fewer than `STEPS` steps of single precision, as large as these are at the farthest point, there
    is no centre whose subtraction would save it.

    Args:
        points: [S, N, 3 or more].
        low, high: the corners of their boxes, [S, 3 or more].
    """
    xyz = points[:, :: max(1, points.shape[1] // SAMPLE), :3].astype(np.float64)
    first, middle, last = np.quantile(xyz, (0.25, 0.5, 0.75), axis=1, method='nearest')
    with np.errstate(over='ignore', invalid='ignore'):
        farthest = np.maximum(high[:, :3] - middle, middle - low[:, :3]).max(axis=1)
        size = (last - first).max(axis=1)
        steps = STEPS * np.spacing(farthest.astype(np.float32)).astype(np.float64)
        return (size > 0) & (size < steps)


def are_merged(points: np.ndarray) -> np.ndarray:
    """Which of the clouds [S, N, 3 or more] have lost their shape before they were stored, [S].

    Their type, or single precision that they once went through, has fewer than `STEPS` steps over
    their extent.
    """
    if points.dtype.kind != 'f':
        return np.zeros(points.shape[:-2], bool)
    xyz = points[..., :3]
    with np.errstate(over='ignore', invalid='ignore'):
        size, farthest = extents(points), np.abs(xyz).max(axis=(-1, -2))
        merged = size < STEPS * np.spacing(farthest).astype(np.float64)
        single = size < STEPS * np.spacing(farthest.astype(np.float32)).astype(np.float64)
    for index in np.flatnonzero(single & ~merged):  # few: far from the origin
        # Whole numbers are in single precision by chance; fractions are there for a reason.
        cloud = xyz[index]
        merged[index] = (cloud == cloud.astype(np.float32)).all() and (cloud % 1).any()
    return merged & (size > 0)
