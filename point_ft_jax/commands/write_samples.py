"""Writes the small clouds that the documents use, made by the generator of the embedded shapes.

point-ft write_samples docs/samples
    chair.ply; scans/, two clouds to predict; classes/ and parts/, two data sets of 15 and 10 clouds

The same bytes every time, but for a rounding: whole millimetres, kept as 16-bit integers in ply and
npy and as text in csv.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core import flags
from point_ft_jax.data.datasets import shapes
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import command_line

SEED = 3  # no other document or config draws its shapes from it
CLASSES = ('bed', 'chair', 'door')
CLOUDS = {'train': 4, 'test': 1}  # of each class
POINTS, PART_POINTS = 1024, 512
SEGMENTED = ('chair', 'table')
MILLIMETRES = 1000  # in the unit of the generator, the radius of an object


def write_samples(folder: str | pathlib.Path) -> list[pathlib.Path]:
    """The files that were written below `folder`, some 165 kB in all.

    chair.ply and scans/ are scans of objects, classes/{train,test}/<class>/ a data set of the kind
    `folder`, and parts/{train,test}/<class>/ one of the kind `part_folder`, complete objects with
    the part of each point in the last column.
    """
    folder = pathlib.Path(folder)
    written = []
    scans = _split('test', style='scan', variant='obj_only', number=2)
    one, two, three = (_of_class(scans, name)[-1] for name in ('chair', 'bed', 'toilet'))
    written.append(_write(folder / 'chair.ply', scans.points[one]))
    written.append(_write(folder / 'scans' / 'first.npy', scans.points[two]))
    written.append(_write(folder / 'scans' / 'second.csv', scans.points[three]))
    for split, number in CLOUDS.items():
        made = _split(split, style='scan', variant='obj_only', number=number)
        for name in CLASSES:
            for place, row in enumerate(_of_class(made, name)):
                path = folder / 'classes' / split / name / f'{place}.ply'
                written.append(_write(path, made.points[row]))
    return written + _write_parts(folder / 'parts')


def _write_parts(folder: pathlib.Path) -> list[pathlib.Path]:
    splits = {
        split: _split(split, style='cad', number=number, num_points=PART_POINTS)
        for split, number in CLOUDS.items()
    }
    rows = {(s, n): _of_class(splits[s], n) for s in splits for n in SEGMENTED}
    # The generator numbers the parts of all its classes; here they count from 0.
    known = np.unique(
        np.concatenate([splits[s].part_labels[r].ravel() for (s, _), r in rows.items()])
    )
    written = []
    for (split, name), found in rows.items():
        for place, row in enumerate(found):
            parts = np.searchsorted(known, splits[split].part_labels[row])
            path = folder / split / name / f'{place}.npy'
            written.append(_write(path, splits[split].points[row], parts))
    return written


def _split(split: str, *, number: int, num_points: int = POINTS, **look: str) -> Split:
    size = number * len(shapes.CLASS_SETS['scan15'].names)
    sizes = {'train_size': size, 'test_size': size}
    return shapes.load(split, num_points=num_points, seed=SEED, **sizes, **look)


def _of_class(split: Split, name: str) -> np.ndarray:
    """The rows of a class's clouds."""
    return np.flatnonzero(split.labels == split.classes.index(name))


def _write(path: pathlib.Path, points: np.ndarray, parts: np.ndarray | None = None) -> pathlib.Path:
    """Writes points [N, 3] in whole millimetres, with parts [N] as a fourth column if given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.rint(points * MILLIMETRES).astype('<i2')
    if parts is not None:
        table = np.concatenate([table, parts[:, None].astype('<i2')], axis=1)
    if path.suffix == '.npy':
        np.save(path, table)
    elif path.suffix == '.csv':
        np.savetxt(path, table, '%d', delimiter=',', header='x,y,z', comments='')
    else:
        path.write_bytes(_ply_header(len(table)) + table.tobytes())
    return path


def _ply_header(count: int) -> bytes:
    return (
        'ply\nformat binary_little_endian 1.0\ncomment millimetres\n'
        f'element vertex {count}\n'
        'property short x\nproperty short y\nproperty short z\nend_header\n'
    ).encode()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('write_samples', __doc__)
    parser.add_argument('folder', nargs='?', default='samples', help='where the files go')
    options = parser.parse_args(arguments)
    command_line.check_folder(options.folder)
    written = write_samples(options.folder)
    size = sum(path.stat().st_size for path in written)
    print(command_line.written(options.folder, f'{len(written)} files of {size:,} bytes'))
