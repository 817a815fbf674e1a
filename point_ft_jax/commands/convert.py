"""Converts a cloud, a folder of clouds or a data set to one .h5 or .npz file.

    point-ft convert docs/samples/classes all.h5
    point-ft convert docs/samples/chair.ply chair.npz
    point-ft convert scan.las scan.npz --channels=color,intensity
    point-ft convert modelnet40 modelnet40.h5 --root=DATA

A file becomes arrays `points` [N, 3] and one for each channel. A folder of class folders, or a data
set by its name, becomes a packed data set with all points of all clouds, whose path is a `root` for
`folder` (`part_folder`, for parts). Options are those of the data set; files that cannot be read
are left out, unless --unreadable=refuse. A folder of clouds alone becomes one split `clouds`. What
was read, left out and why is printed, and the status is 1 if a file could not be read.
"""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.commands import _cloud_files, _dataset_options
from point_ft_jax.core import flags, plugins
from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.data.files import mesh, named, packed
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.channels import expand
from point_ft_jax.data.files.packed import Packed, PackedSplit
from point_ft_jax.data.loader import load_dataset
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import command_line

CUTS = ('num_points', 'normalize')  # options that change the clouds


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its status, 1 if files were left out."""
    given = flags.parser('convert', __doc__)
    given.add_argument('source', help='a file, a folder, or the name of a data set')
    given.add_argument('target', help='the .h5 or .npz file to write')
    given.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    options, rest = given.parse_known_args(arguments)
    target = pathlib.Path(options.target).expanduser()
    _check(target, options.overwrite)
    lines, status = convert(options.source, target, rest)
    print('\n'.join(lines))
    return status


def convert(source: str, target: pathlib.Path, given: Sequence[str] = ()) -> tuple[list[str], int]:
    """Writes `target`; gives the report, a line each, and 1 if files were left out, else 0.

    Raises:
        UserError: no such source, options that it does not have, or nothing that can be read.
    """
    path = pathlib.Path(source).expanduser()
    if path.is_file():
        arrays, lines, status = *_cloud(path, given), 0
    elif path.is_dir() and not _has_classes(path):
        arrays, lines, status = _flat(path, given)
    elif path.is_dir():
        arrays, lines, status = _data_set('folder', [f'--root={path}', *given])
    elif source in plugins.available('datasets'):
        arrays, lines, status = _data_set(source, given)
    else:
        raise UserError(
            f'there is no file, folder or data set {source!r}; data sets are '
            f'{", ".join(plugins.available("datasets"))}'
        )
    packed.write(target, arrays)
    size = target.stat().st_size
    return [*lines, command_line.written(target, f'{size:,} bytes')], status


def _check(target: pathlib.Path, overwrite: bool) -> None:
    problems = []
    if target.suffix.lower() not in packed.ENDINGS:
        problems.append(f'it ends in {target.suffix!r}; expected {" or ".join(packed.ENDINGS)}')
    if not target.absolute().parent.is_dir():
        problems.append(f'there is no folder {target.absolute().parent}')
    if target.exists() and not overwrite:
        problems.append('it exists; give another name, or --overwrite')
    raise_all(problems, f'{target} cannot be written:')


def _has_classes(path: pathlib.Path) -> bool:
    """Whether clouds lie in folders of this one, or it has h5 files of splits."""
    splits = [p for p in path.iterdir() if p.stem.lower() in ('train', 'test')]
    inside = (p for p in path.rglob('*') if p.parent != path and point_files.is_cloud(p))
    return bool(splits) or any(inside)


def _cloud(path: pathlib.Path, given: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    options = _cloud_options(given)
    cloud = point_files.read(path, **options)
    channels = expand(options['channels'])
    arrays = {'points': cloud[:, :3]}
    arrays |= {name: cloud[:, 3 + i].astype(np.float32) for i, name in enumerate(channels)}
    return arrays, [f'read {path}: {len(cloud):,} points{_with(channels)}', *_sampled([path])]


def _flat(path: pathlib.Path, given: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str], int]:
    options = _cloud_options(given)
    read = _cloud_files.read(_cloud_files.find([str(path)]), **options)
    names = [file.relative_to(path).as_posix() for file in read.files]
    labels = np.zeros(len(names), np.int32)
    channels = expand(options['channels'])
    split = PackedSplit(read.clouds, labels, names)
    lines = _lines({'clouds': split}, ('clouds',), channels)
    lines += [*_endings(names), *_sampled(read.files), *filter(None, [read.complaint()])]
    content = Packed({'clouds': split}, ('clouds',), channels)
    return packed.pack(content), lines, int(bool(read.unreadable))


def _cloud_options(given: Sequence[str]) -> dict[str, Any]:
    def load(
        *,
        channels: Sequence[str] = (),
        nonfinite: str = 'refuse',
        seed: int = 0,
        surface_points: int = mesh.POINTS,
    ) -> None:
        """Options for a file: see `points.read`."""

    options = vars(_dataset_options.parser('point-ft convert FILE', load).parse_args(list(given)))
    if options['nonfinite'] not in ('refuse', 'drop'):
        raise UserError(f'nonfinite is {options["nonfinite"]!r}; expected refuse or drop')
    return options


def _data_set(name: str, given: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str], int]:
    module = plugins.load('datasets', name)
    parser = _dataset_options.parser(f'point-ft convert {name}', module.load)
    if any(action.dest == 'unreadable' for action in parser._actions):
        parser.set_defaults(unreadable='skip')
    options = vars(parser.parse_args(list(given)))
    as_is = all(options.get(cut) == parser.get_default(cut) for cut in CUTS)
    if hasattr(module, 'raw') and as_is:
        raw = module.raw(**options)
        splits = {
            split: PackedSplit(clouds, raw.labels[split], raw.names[split])
            for split, clouds in raw.clouds.items()
        }
        content = Packed(splits, raw.classes, raw.channels)
        lines = _lines(splits, raw.classes, raw.channels)
        files = [raw.base / n for split in splits.values() for n in split.names]
        lines += [*_endings([n for split in splits.values() for n in split.names])]
        lines += _sampled([file for file in files if file.is_file()])
        lines += [f'left out: {problem}' for problem in raw.unreadable.values()]
        lines += raw.unused.lines()
        return packed.pack(content), lines, int(bool(raw.unreadable))
    splits = load_dataset(name, **options)
    content = _of_splits(splits)
    return packed.pack(content), _lines(content.splits, content.classes, content.channels), 0


def _of_splits(splits: Mapping[str, Split]) -> Packed:
    """What `load_dataset` returned, with parts as a last channel."""
    first = next(iter(splits.values()))
    channels = (*first.channels, *(['part'] if first.part_labels is not None else []))
    found = {}
    for name, split in splits.items():
        clouds = split.points
        if split.part_labels is not None:
            clouds = np.concatenate([clouds, split.part_labels[..., None]], -1, dtype=np.float32)
        sizes = split.sizes if split.sizes is not None else [clouds.shape[1]] * len(split)
        names = split.names or [f'{name} {index}' for index in range(len(split))]
        own = [cloud[:size] for cloud, size in zip(clouds, sizes, strict=True)]
        found[name] = PackedSplit(own, split.labels, names)
    return Packed(found, first.classes, channels)


def _lines(
    splits: Mapping[str, PackedSplit], classes: Sequence[str], channels: Sequence[str]
) -> list[str]:
    counts = ', '.join(f'{name} {len(split.clouds):,}' for name, split in splits.items())
    sizes = [len(cloud) for split in splits.values() for cloud in split.clouds]
    if not sizes:
        raise UserError('there is no cloud to write')
    return [
        f'read {len(sizes):,} clouds ({counts}) of {len(classes)} classes: {some(classes, 12)}',
        f'points a cloud: {min(sizes):,} to {max(sizes):,}{_with(channels)}',
    ]


def _endings(names: Sequence[str]) -> list[str]:
    found = collections.Counter(pathlib.PurePosixPath(n).suffix.lower() for n in names)
    known = {ending: n for ending, n in found.most_common() if ending in point_files.READERS}
    listed = ', '.join(f'{ending} {count:,}' for ending, count in known.items())
    return [f'formats: {listed}'] if known else []


def _sampled(files: Sequence[pathlib.Path]) -> list[str]:
    count = sum(named.is_sampled(file) for file in files)
    return [f'{count:,} are meshes: points were drawn from their surfaces'] if count else []


def _with(channels: Sequence[str]) -> str:
    return f', with {", ".join(channels)}' if channels else ''
