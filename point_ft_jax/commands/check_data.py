"""Checks a data set: what was found, counts, sizes, repeated and unused clouds, every problem.

    point-ft check_data shapes --style=scan
    point-ft check_data NAME [--OPTION=VALUE ...] [--run=RUN] [--checkpoint=FILE]

NAME is a file of point_ft_jax/data/datasets/, its options are those of the file's `load`. With a
run (or a delta) the clouds are compared with those that it was trained on: classes, channels,
number of points, scale, the order of the axes; with a checkpoint (a .pth, or shipped:NAME) with
those that published backbones were pre-trained on. Ends with status 0 if both splits load, with 1
if not, with 2 after a mistake in the command.

    point-ft check_data folder --root=docs/samples/classes --checkpoint=shipped:recon_tiny
"""

import contextlib
import pathlib
import sys
import textwrap
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.commands import _dataset_options
from point_ft_jax.core import json_files, plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import judgements, likeness
from point_ft_jax.data.checks import some
from point_ft_jax.data.split import Split

SPLITS = ('train', 'test')
# What published backbones were pre-trained on: ShapeNet, in the unit sphere.
PUBLISHED = {'radius': [1.0, 1.0, 1.0]}
LONGEST_TABLE = 8  # classes; more are listed several a line


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with its arguments (those of the process by default); returns its status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ('-h', '--help'):
        print(f'{__doc__.strip()}\n\ndata sets: {", ".join(plugins.available("datasets"))}')
        return 0 if argv else 2
    if argv[0].startswith('-'):
        raise UserError(
            f'{argv[0]} stands before the name of the data set; see point-ft check_data --help'
        )
    module = plugins.load('datasets', argv[0])
    parser = _dataset_options.parser(f'point-ft check_data {argv[0]}', module.load)
    parser.add_argument('--run', help='a run or a delta, to compare with what it was trained on')
    parser.add_argument('--checkpoint', help='a .pth or shipped:NAME, to compare with likewise')
    options = vars(parser.parse_args(argv[1:]))
    references = _references(options.pop('run'), options.pop('checkpoint'))
    return _report(module, options, references)


def _references(run: str | None, checkpoint: str | None) -> dict[str, Mapping[str, Any]]:
    """What is known of the training clouds of what is named, by its name.

    Raises:
        UserError: no such run, or no such file.
    """
    found: dict[str, Mapping[str, Any]] = {}
    if run is not None:
        from point_ft_jax.checkpoints import run as saved

        folder = saved.find(run)
        facts = folder / saved.FACTS
        found[run] = (
            json_files.read_json(facts) if facts.exists() else saved.read_delta(run).metadata
        )
    if checkpoint is not None:
        from point_ft_jax.checkpoints import shipped

        path = pathlib.Path(shipped.locate(checkpoint))
        if not path.is_file():
            raise UserError(f'no file {path}: expected the .pth of a backbone, or give --run=RUN')
        found[checkpoint] = PUBLISHED
    return found


def _report(
    module: types.ModuleType, options: dict, references: Mapping[str, Mapping[str, Any]]
) -> int:
    """Prints what is known of both splits; returns the command's status."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        splits, notes, problems = _read(module, options)
    notes += [str(one.message) for one in caught]
    for text in _descriptions(module, options):
        print(text)
    for split, data in splits.items():
        print(f'{split}: {_summary(data)}')
    if splits:
        print('\n'.join(['', *_class_table(splits)]))
        for name, known in references.items():
            notes += _unlike(next(iter(splits.values())), name, known)
        notes += _differences(*(splits[split] for split in SPLITS)) if len(splits) == 2 else []
        print('\n'.join(['', *(f'note: {note}' for note in dict.fromkeys(notes))] if notes else []))
    for message in dict.fromkeys(problems.values()):
        where = ' and '.join(split for split in SPLITS if problems.get(split) == message)
        print(f'problem in {where}: {message}')
    print('no problems' if not problems else 'this data set cannot be used as it is')
    return 1 if problems else 0


def _read(
    module: types.ModuleType, options: dict
) -> tuple[dict[str, Split], list[str], dict[str, str]]:
    """The splits that load, what is odd about them, and the problems of those that do not."""
    if hasattr(module, 'examine'):
        try:
            return *module.examine(**options), {}
        except UserError:
            pass  # which of the splits has the problem is found below
    splits, problems = {}, {}
    for split in SPLITS:
        try:
            splits[split] = module.load(split, **options)
        except UserError as error:
            problems[split] = str(error)
    if not splits:
        return splits, [], problems
    surveys = {
        split: judgements.survey(
            data.points, data.labels, data.names or [f'{split} {i}' for i in range(len(data))]
        )
        for split, data in splits.items()
    }
    return splits, judgements.judged(surveys, next(iter(splits.values())).classes), problems


def _descriptions(module: types.ModuleType, options: dict) -> list[str]:
    """What the data set says was found, one line if it says the same of both splits."""
    found = {}
    for split in SPLITS if hasattr(module, 'describe') else ():
        with contextlib.suppress(UserError):  # it is among the problems
            found[split] = module.describe(split, **options)
    if len(set(found.values())) == 1:
        return [f'{" and ".join(found)}: {next(iter(found.values()))}']
    return [f'{split}: {text}' for split, text in found.items()]


def _summary(data: Split) -> str:
    points = data.points[..., :3]
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    box = ' x '.join(f'[{a:.3g}, {b:.3g}]' for a, b in zip(low, high, strict=True))
    named = f' (with {", ".join(data.channels)})' if data.channels else ''
    return (
        f'{len(data):,} clouds of {points.shape[1]:,} points{named} in {len(data.classes)} '
        f'classes; within {box}; median radius {_radius(data):.3g}, '
        f'median distance of the centroid from the origin {_offset(data):.3g}'
    )


def _radius(data: Split) -> float:
    """The median over clouds of the largest distance of a point from its cloud's centroid."""
    distances = (np.linalg.norm(c - c.mean(axis=0), axis=1).max() for c in data.points[..., :3])
    return float(np.median(list(distances)))


def _offset(data: Split) -> float:
    return float(np.median(np.linalg.norm(data.points[..., :3].mean(axis=1), axis=1)))


def _class_table(splits: dict[str, Split]) -> list[str]:
    classes = next(iter(splits.values())).classes
    if len(classes) > LONGEST_TABLE:
        return [*_class_lines(splits, classes), *_part_lines(splits)]
    width = max(map(len, (*classes, 'class')))
    counts = {s: np.bincount(d.labels, minlength=len(classes)) for s, d in splits.items()}
    head = f'{"label":>5}  {"class":<{width}}' + ''.join(f'{split:>8}' for split in counts)
    rows = [
        f'{label:>5}  {name:<{width}}' + ''.join(f'{c[label]:>8,}' for c in counts.values())
        for label, name in enumerate(classes)
    ]
    return [head, *rows, *_part_lines(splits)]


def _class_lines(splits: dict[str, Split], classes: Sequence[str]) -> list[str]:
    """The numbers of clouds of many classes, several a line."""
    counts = [np.bincount(data.labels, minlength=len(classes)) for data in splits.values()]
    entries = [
        # a blank within an entry does not end a line
        f'{name} {"/".join(f"{count[label]:,}" for count in counts)}'.replace(' ', '\xa0')
        for label, name in enumerate(classes)
    ]
    text = f'{len(classes)} classes ({"/".join(splits)}): {", ".join(entries)}'
    lines = textwrap.wrap(
        text, 110, break_long_words=False, break_on_hyphens=False, max_lines=10, placeholder=' ...'
    )
    return [line.replace('\xa0', ' ') for line in lines]


def _part_lines(splits: dict[str, Split]) -> list[str]:
    """How many parts each class has, and of which no point is."""
    data = next(iter(splits.values()))
    if data.part_labels is None:
        return []
    counts = [f'{name} {len(ids)}' for name, ids in zip(data.classes, data.parts, strict=True)]
    present = set().union(*(np.unique(split.part_labels).tolist() for split in splits.values()))
    absent = [data.part_names[p] for p in sorted(set().union(*data.parts)) if p not in present]
    return [
        f'parts: {", ".join(counts)}',
        *([f'parts without a point: {some(absent)}'] if absent else []),
    ]


def _differences(train: Split, test: Split) -> list[str]:
    found = []
    if train.classes != test.classes:
        found.append(f'train has the classes {train.classes}, test {test.classes}')
    if train.points.shape[1] != test.points.shape[1]:
        found.append(
            f'clouds of train have {train.points.shape[1]:,} points, of test '
            f'{test.points.shape[1]:,}: accuracy suffers where these differ'
        )
    ratio = _radius(test) / _radius(train)
    if not 0.5 < ratio < 2:
        found.append(f'clouds of test are {ratio:.3g} times as large as those of train')
    return found


def _unlike(data: Split, name: str, known: Mapping[str, Any]) -> list[str]:
    """How clouds differ from those that `name` was trained on, of which this is `known`."""
    found = []
    classes = list(known.get('classes', data.classes))
    if classes != list(data.classes):
        others = sorted(set(classes) ^ set(data.classes))
        order = f'differing: {some(others)}' if others else 'the same in another order'
        found.append(f'{len(classes)} classes there, {len(data.classes)} here ({order})')
    channels = tuple(known.get('channels', data.channels))
    if channels != data.channels:
        found.append(
            f'channels {", ".join(channels) or "none"} there, '
            f'{", ".join(data.channels) or "none"} here'
        )
    if data.points.shape[1] < known.get('points', 0):
        found.append(
            f'it takes {known["points"]:,} points, and these clouds have {data.points.shape[1]:,}'
        )
    found += likeness.batch_differences(data.points, {**known, 'points': 0})
    if not found:
        return [f'the clouds are like those that {name} was trained on']
    return [f'unlike what {name} was trained on: {text}' for text in found]
