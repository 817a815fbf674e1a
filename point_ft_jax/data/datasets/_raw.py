"""The splits of a folder as its files hold them, before anything is cut to size or normalised."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import raise_all, some, warn
from point_ft_jax.data import checks, judgements
from point_ft_jax.data.datasets._options import SPLITS
from point_ft_jax.data.files import packed
from point_ft_jax.data.files.inventory import Unused


@dataclasses.dataclass(frozen=True)
class Raw:
    """Clouds of any size, and what is known of them.

    Attributes:
        base: the folder.
        clouds: of each split [N, 3 or more] in the precision of their files.
        labels: of each split [S] int32.
        names: of each split's clouds.
        classes: the class names by label.
        unused: what else lies in the folder.
        notes: what the reader has to say.
        unreadable: files that were left out, each with the reason.
        channels: the names of the columns after x, y, z.
    """

    base: pathlib.Path
    clouds: Mapping[str, Sequence[np.ndarray]]
    labels: Mapping[str, np.ndarray]
    names: Mapping[str, Sequence[str]]
    classes: tuple[str, ...]
    unused: Unused
    notes: Sequence[str] = ()
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    channels: tuple[str, ...] = ()

    @classmethod
    def of_packed(
        cls, path: pathlib.Path, channels: Sequence[str], nonfinite: str = 'refuse'
    ) -> 'Raw':
        """The data set of a packed file, with the channels that are asked for.

        Raises:
            UserError: as `packed.read`; a split or a channel that it lacks; values that are not
                finite.
        """
        found = packed.read(path)
        missing = [name for name in channels if name not in found.channels]
        problems = [f'it has no channel {name}; it has {some(found.channels)}' for name in missing]
        problems += [f'it has no split {split}' for split in SPLITS if split not in found.splits]
        raise_all(problems, f'{path} is not the data set that is asked for:')
        columns = [0, 1, 2, *(3 + found.channels.index(name) for name in channels)]
        clouds, labels, names = {}, {}, {}
        for split in SPLITS:
            own = found.splits[split]
            clouds[split] = [cloud[:, columns] for cloud in own.clouds]
            if nonfinite == 'drop':
                clouds[split] = [c[np.isfinite(c).all(axis=1)] for c in clouds[split]]
            labels[split], names[split] = own.labels, own.names
            problems += checks.cloud_problems(clouds[split], own.names)
        raise_all(problems, f'{path} has no sound clouds:')
        return cls(path, clouds, labels, names, found.classes, Unused(), channels=tuple(channels))

    def size(self, num_points: int | None, fewest: int) -> int:
        """How many points each cloud keeps; see `folder.load`."""
        return num_points or max(self._smallest()[0], fewest)

    def few(self, num_points: int | None, fewest: int) -> list[str]:
        """A line where the smallest cloud makes all the others lose most of their points."""
        counts = [len(cloud) for clouds in self.clouds.values() for cloud in clouds]
        median, (smallest, name) = int(np.median(counts)), self._smallest()
        if num_points or 2 * max(smallest, fewest) >= median:
            return []
        return [
            f'every cloud keeps {max(smallest, fewest):,} points, since {name} has {smallest:,}, '
            f'and half of them have {median:,} or more: num_points=N keeps N of each (in the shell '
            '--num_points, of run.py --config.data.num_points), and repeats those of smaller ones'
        ]

    def _smallest(self) -> tuple[int, str]:
        """The number of points of the smallest cloud, and its name."""
        return min(
            (len(cloud), name)
            for split, clouds in self.clouds.items()
            for cloud, name in zip(clouds, self.names[split], strict=True)
        )

    def judged(self) -> list[str]:
        """What is odd about the clouds and the folder."""
        surveys = {
            split: judgements.survey(clouds, self.labels[split], self.names[split])
            for split, clouds in self.clouds.items()
        }
        found = judgements.judged(surveys, self.classes, self.unused)
        return [*self._left_out(), *found, *self.notes]

    def warn(self, few: Sequence[str] = ()) -> None:
        """Warns of data that are not used, and of what `few` says."""
        if losses := [*self._left_out(), *self.unused.losses(), *few]:
            warn(f'{self.base}: {"; ".join(losses)}')

    def _left_out(self) -> list[str]:
        if not self.unreadable:
            return []
        reasons = [_reason(text) for text in self.unreadable.values()]
        told = [
            f'{text} ({n:,} of them)' for text, n in collections.Counter(reasons).most_common(3)
        ]
        return [
            f'{len(reasons):,} files cannot be read and are left out: {some(self.unreadable)}; '
            f'{"; ".join(told)}'
        ]


def _reason(text: str) -> str:
    """Why a file cannot be read, without its name, in a line."""
    return ' '.join(text.partition(': ')[2].split())[:200] or text[:200]
