"""Checks a data set: what was found, counts, sizes, repeated clouds, and every problem.

    point-ft check_data NAME [--OPTION=VALUE ...]

NAME is a file of point_ft_jax/data/datasets/, its options are those of the file's `load`. Ends with
status 0 if both splits load, with 1 if not.
"""

import argparse
import collections
import hashlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Sequence

import numpy as np

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import some
from point_ft_jax.data.split import Split

SPLITS = ('train', 'test')


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with its arguments (those of the process by default); returns its status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if not argv or argv[0].startswith('-'):
            print(f'{__doc__.strip()}\n\ndata sets: {", ".join(plugins.available("datasets"))}')
            return 0 if argv in (['-h'], ['--help']) else 1
        module = plugins.load('datasets', argv[0])
        options = vars(_parser(argv[0], module.load).parse_args(argv[1:]))
        return _report(module, options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def _parser(name: str, load: Callable) -> argparse.ArgumentParser:
    """A flag for every option of a data set's `load`."""
    parser = argparse.ArgumentParser(
        prog=f'point-ft check_data {name}',
        description=inspect.getdoc(load),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(load)
    for option, parameter in inspect.signature(load).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        required = parameter.default is inspect.Parameter.empty
        parser.add_argument(
            f'--{option}',
            required=required,
            default=None if required else parameter.default,
            type=_converter(hints.get(option, str)),
            help='required' if required else f'default: {parameter.default}',
        )
    return parser


def _converter(hint: type) -> Callable[[str], object]:
    """What turns a flag's text into a value of a type: of the first one of a union."""
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    return _boolean if hint is bool else hint if hint in (int, float) else str


def _boolean(text: str) -> bool:
    if text.lower() not in ('true', 'false'):
        raise argparse.ArgumentTypeError(f'{text!r}; expected True or False')
    return text.lower() == 'true'


def _report(module: types.ModuleType, options: dict) -> int:
    """Prints what is known of both splits; returns the command's status."""
    splits, problems = {}, {}
    for split in SPLITS:
        try:
            if hasattr(module, 'describe'):
                print(f'{split}: {module.describe(split, **options)}')
            splits[split] = module.load(split, **options)
            print(f'{split}: {_summary(splits[split])}')
        except UserError as error:
            problems[split] = str(error)
    if splits:
        print('\n'.join(['', *_class_table(splits)]))
        notes = _notes(splits)
        print('\n'.join(['', *(f'note: {note}' for note in notes)] if notes else []))
    for message in dict.fromkeys(problems.values()):
        where = ' and '.join(split for split in SPLITS if problems.get(split) == message)
        print(f'problem in {where}: {message}')
    print('no problems' if not problems else 'this data set cannot be used as it is')
    return 1 if problems else 0


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
    width = max(map(len, (*classes, 'class')))
    counts = {s: np.bincount(d.labels, minlength=len(classes)) for s, d in splits.items()}
    head = f'{"label":>5}  {"class":<{width}}' + ''.join(f'{split:>8}' for split in counts)
    rows = [
        f'{label:>5}  {name:<{width}}' + ''.join(f'{c[label]:>8,}' for c in counts.values())
        for label, name in enumerate(classes)
    ]
    return [head, *rows, *_part_lines(splits)]


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


def _notes(splits: dict[str, Split]) -> list[str]:
    """What a user should know though it stops nothing."""
    found = []
    for split, data in splits.items():
        absent = [c for i, c in enumerate(data.classes) if i not in set(data.labels.tolist())]
        if absent:
            found.append(f'{split} has no cloud of {some(absent)}')
    numbers = {split: _by_content(data) for split, data in splits.items()}
    for split, content in numbers.items():
        again = [indices for indices in content.values() if len(indices) > 1]
        if again:
            found.append(f'{len(again):,} clouds occur more than once in {split}: {some(again)}')
    if len(splits) == 2:
        found += _differences(*(splits[split] for split in SPLITS))
        shared = [numbers['test'][key][0] for key in numbers['test'] if key in numbers['train']]
        if shared:
            found.append(
                f'{len(shared):,} clouds of test are also in train (numbers {some(shared)}): '
                'the test accuracy will be too high'
            )
    return found


def _by_content(data: Split) -> dict[bytes, list[int]]:
    """The numbers of the clouds with the same points in the same order."""
    groups = collections.defaultdict(list)
    for index, cloud in enumerate(data.points):
        groups[hashlib.sha256(np.ascontiguousarray(cloud)).digest()].append(index)
    return groups


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
