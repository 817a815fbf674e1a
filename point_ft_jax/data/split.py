"""A split of labelled point clouds as arrays: what every data plug-in returns."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike  # quoted in signatures: help() then shows its name

from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data import checks, likeness, precision
from point_ft_jax.data.files.channels import expand


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled point clouds in memory.

    Attributes:
        points: [S, N, 3 + F] float32, S clouds of N points, x, y, z in the data set's own units,
            then their F channels.
        labels: [S] int32, in 0..len(classes)-1.
        classes: the class names by label.
        part_labels: [S, N] int32 or None, a part label for every point.
        part_names: the parts' names by label.
        parts: the part labels that clouds of each class may have.
        sizes: [S] int32 or None: where clouds had fewer than N points, how many are their own; the
            others repeat them.
        names: the clouds' names; () for none.
        channels: the names of the F channels: red, green, blue in 0..1, nx, ny, nz, and others.
        features: arrays [S, ...] of what teachers of pre-training know of each cloud, by name.
    """

    points: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    part_labels: np.ndarray | None = None
    part_names: tuple[str, ...] = ()
    parts: tuple[tuple[int, ...], ...] = ()
    sizes: np.ndarray | None = None
    names: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_arrays(
        cls,
        points: 'ArrayLike',
        labels: 'ArrayLike',
        classes: Sequence[str] | None = None,
        part_labels: 'ArrayLike | None' = None,
        channels: Sequence[str] = (),
    ) -> 'Split':
        """A split of one's own arrays, checked as the files of a data set are.

        Args:
            points: [S, N, 3 + F] real numbers; kept as float32, in their own units. Clouds far from
                the origin are moved there first, see `precision.to_float32`.
            labels: [S] integers from 0.
            classes: the class names by label, some of which may have no cloud. Without them the
                classes are '0', '1', ..., and each needs a cloud.
            part_labels: [S, N] integers from 0, for part segmentation; the parts of a class are
                those that its clouds have, and classes may share parts.
            channels: the names of the F columns after x, y, z; 'color' is red, green, blue (in
                0..1) and 'normal' is nx, ny, nz.

        Raises:
            UserError: a wrong shape or type, a NaN, a cloud without extent, a label out of range, a
                class without a cloud, a repeated class name; all at once.

        Examples:
            >>> import numpy as np
            >>> from point_ft_jax import Split
            >>> clouds = np.random.default_rng(0).uniform(size=(4, 64, 3))
            >>> split = Split.from_arrays(clouds, [0, 1, 0, 1], classes=('chair', 'table'))
            >>> len(split), split.points.dtype
            (4, dtype('float32'))
        """
        points, labels = checks.regular(points, 'points'), checks.regular(labels, 'labels')
        complete = classes is None
        if classes is None:
            classes = checks.numbered(labels, 'there are')
        channels = expand(channels)
        problems = checks.problems(points, labels, classes, complete, channels)
        if len(set(classes)) < len(classes):
            problems.append('a class name occurs twice; expected a name of its own for every label')
        if part_labels is not None:
            part_labels = checks.regular(part_labels, 'part_labels')
            if part_labels.dtype.kind not in 'iu' or part_labels.shape != points.shape[:2]:
                problems.append(
                    f'part_labels are {part_labels.dtype} {list(part_labels.shape)}; expected '
                    f'integers {list(points.shape[:2])}, one a point'
                )
            elif part_labels.size and part_labels.min() < 0:
                problems.append(f'part_labels go down to {part_labels.min()}; expected 0 or more')
        raise_all(problems, 'these arrays are no split of labelled clouds:')
        points, labels = precision.to_float32(points), labels.astype(np.int32)
        split = Split(points, labels, tuple(classes), channels=channels)
        if part_labels is None:
            return split
        parts = [np.unique(part_labels[labels == label]).tolist() for label in range(len(classes))]
        return dataclasses.replace(
            split,
            part_labels=part_labels.astype(np.int32),
            part_names=tuple(f'part {part}' for part in range(int(part_labels.max()) + 1)),
            parts=tuple(map(tuple, parts)),
        )

    def checked(self, measured: Mapping[str, Any] | None = None) -> 'Split':
        """The split with points of float32 and labels of int32, after the checks of every reader.

        Whoever makes a `Split` of arrays by itself, past `from_arrays`, may have any.

        Args:
            measured: of the training clouds, to warn of others; see `likeness.measures`.

        Raises:
            UserError: everything that is wrong with points and labels, in one message.
        """
        points, labels = (
            checks.regular(v, n) for v, n in ((self.points, 'points'), (self.labels, 'labels'))
        )
        problems = checks.problems(points, labels, self.classes, False, self.channels)
        raise_all(problems, 'these clouds cannot be used:')
        points = precision.to_float32(points)
        if measured is not None:
            likeness.warn_of_differences(points, measured)
        return dataclasses.replace(self, points=points, labels=labels.astype(np.int32))

    def take(self, indices: np.ndarray) -> 'Split':
        """The clouds of `indices`, in their order."""
        rows = {
            field: None if getattr(self, field) is None else getattr(self, field)[indices]
            for field in ('points', 'labels', 'part_labels', 'sizes')
        }
        names = tuple(np.array(self.names)[indices]) if self.names else ()
        features = {name: array[indices] for name, array in self.features.items()}
        return dataclasses.replace(self, **rows, names=names, features=features)


def require_split(value: object, name: str) -> None:
    """Raises UserError, which calls the value `name`, unless it is a `Split`."""
    if not isinstance(value, Split):
        raise UserError(
            f'{name} is a {type(value).__name__}; expected a Split, such as one of those that '
            'load_dataset returns, or Split.from_arrays(points, labels)'
        )


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """`split` without a `fraction` of every class, and that fraction; deterministic from `seed`.

    Every class keeps a cloud and, if it has two, gives one.

    Raises:
        UserError: a fraction that is not between 0 and 1.
    """
    if not (isinstance(fraction, int | float | np.number) and 0 < fraction < 1):
        raise UserError(
            f'the validation fraction is {fraction!r}; expected a number between 0 and 1'
        )
    r = np.random.default_rng([seed, 0])
    held = np.zeros(len(split), bool)
    for label in np.unique(split.labels):
        members = r.permutation(np.flatnonzero(split.labels == label))
        number = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[members[:number]] = True
    return split.take(np.flatnonzero(~held)), split.take(np.flatnonzero(held))


FEW = 5  # clouds of a class, below which a choice by them is chancy


def few_clouds(split: Split) -> str:
    """The classes with fewer than 5 clouds, with their numbers: 'chair (2), table (3)'."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    return some([f'{name} ({n})' for name, n in zip(split.classes, counts, strict=True) if n < FEW])


def folds(split: Split, count: int, seed: int) -> list[tuple[Split, Split]]:
    """`count` pairs of `split` without a fold, and that fold; deterministic from `seed`.

    Every cloud is in one fold, and the clouds of each class are spread evenly over the folds.

    Raises:
        UserError: fewer than two folds, or a class with fewer clouds than folds.
    """
    sizes = np.bincount(split.labels, minlength=len(split.classes))
    small = [f'{split.classes[k]} ({n})' for k, n in enumerate(sizes) if 0 < n < count]
    if count < 2 or small:
        raise UserError(
            f'validation.folds is {count}; expected 2 or more, and no more than the clouds of any '
            f'class{", such as " + some(small) if small else ""}'
        )
    r = np.random.default_rng([seed, 0])
    fold = np.zeros(len(split), int)
    for number, label in enumerate(np.unique(split.labels)):
        members = r.permutation(np.flatnonzero(split.labels == label))
        fold[members] = (np.arange(len(members)) + number) % count
    return [
        (split.take(np.flatnonzero(fold != k)), split.take(np.flatnonzero(fold == k)))
        for k in range(count)
    ]
