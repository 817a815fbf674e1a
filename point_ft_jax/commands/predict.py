"""Predicts the class of clouds in files, with probabilities.

python run.py --config=configs/recon_dapt.py
point-ft predict runs/recon_dapt docs/samples/chair.ply docs/samples/scans --normalize --top=3
point-ft predict uni3d.pt chair.ply --text-features=classes.npz --channels=color

With text features, one row a class name, a published model that has a space of texts classifies
without training: see `text_features.read` for the file. Its clouds are in the unit sphere
(--normalize), with the y axis up.

A cloud is made like those that the model was trained on: of one with more points as many are drawn
as theirs had, and where theirs were centred and scaled to radius 1 it is, too. Fewer points than
theirs, or another scale, are warned of, since either hurts accuracy without a sign. Of a cloud with
fewer points than the model takes the points are repeated. Files that cannot be read are listed, the
others predicted, and the status is 1.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.commands import _cloud_files
from point_ft_jax.core import flags
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data import likeness, sampling
from point_ft_jax.data.normalize import draw, unit_sphere
from point_ft_jax.data.precision import to_float32
from point_ft_jax.experiments import command_line

Row = dict[str, Any]


def predict_files(
    run: str,
    paths: Sequence[str],
    *,
    top: int = 3,
    normalize: bool = False,
    backbone: str | None = None,
    few: str = 'repeat',
) -> tuple[list[Row], str]:
    """The `top` classes of every cloud in `paths` (files, or folders of files), and a complaint.

    Args:
        run: the folder of a run, or of a delta.
        paths: see `data.files.points.READERS` for the endings.
        top: how many classes to give.
        normalize: centre every cloud and scale it to radius 1 first, which is done in any case
            where the training clouds were.
        backbone: see `checkpoints.run.load_run`.
        few: 'repeat' the points of clouds that have fewer than the model takes, with a warning, or
            'refuse' such clouds.

    Returns:
        A row a cloud: 'file', 'points', 'warning' ('' for none), 'classes' and 'probabilities'
        (best first, in 0..1); and what is wrong with the files that are left out, '' for none.

    Raises:
        UserError: no run or no classifier, no files, or none that can be used.
    """
    _check(top, few)
    files = _cloud_files.find(paths)  # mistakes in the paths are found before anything is loaded

    import jax

    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.core.devices import make_mesh
    from point_ft_jax.evaluation import inference

    spec, metadata = saved.facts(run)
    if getattr(spec, 'num_parts', None) is not None:
        raise UserError(
            f'{run} segments parts, and what is predicted here are classes; look at its report, or '
            'evaluate it with point-ft evaluate'
        )
    # And mistakes in the files before the weights are.
    read = _cloud_files.read(files, metadata.get('channels', ()))
    size = metadata['points']
    warnings = _small(read, size, few)
    normalize = normalize or likeness.in_unit_sphere(metadata)
    placed = _placed(_drawn(read, metadata), normalize)
    loaded = saved.load_run(run, backbone)
    clouds = [sampling.repeated(cloud, size) for cloud in placed]
    predict = inference.make_predict(loaded.model.module, make_mesh(), min(len(clouds), 32))
    points = np.concatenate([inference.prepare(cloud[None], size) for cloud in clouds])
    probabilities = np.asarray(jax.nn.softmax(predict(loaded.variables, points)))
    for index, cloud in enumerate(placed):
        known = {**metadata, 'stored_points': len(cloud)} if warnings[index] else metadata
        warnings[index] = '; '.join([*warnings[index], *likeness.differences(cloud, known)])
    return _rows(read, warnings, probabilities, metadata['classes'], top), read.complaint()


def predict_by_text(
    weights: str,
    paths: Sequence[str],
    features: str,
    *,
    top: int = 3,
    normalize: bool = False,
    channels: Sequence[str] = (),
    swap_yz: bool = False,
    few: str = 'repeat',
) -> tuple[list[Row], str]:
    """The `top` classes of every cloud, as `predict_files`, by text features of their names.

    Args:
        weights, features, swap_yz: see `_zero_shot.classify`.
        paths, top, normalize, few: see `predict_files`.
        channels: what to read of a point beside its place, such as 'color'.

    Raises:
        UserError: no file that can be used, or files that do not fit.
    """
    _check(top, few)
    read = _cloud_files.read(_cloud_files.find(paths), channels)

    from point_ft_jax.commands import _zero_shot

    clouds = _placed(read.clouds, normalize)
    probabilities, classes = _zero_shot.classify(weights, features, clouds, swap_yz, few)
    warnings = ['' if _is_unit(c) else 'not in the unit sphere (--normalize?)' for c in clouds]
    return _rows(read, warnings, probabilities, classes, top), read.complaint()


def _check(top: int, few: str) -> None:
    problems = []
    if top < 1:
        problems.append(f'top is {top}; expected 1 or more')
    if few not in sampling.FEW:
        problems.append(f'few is {few!r}; expected {" or ".join(sampling.FEW)}')
    raise_all(problems, 'wrong options:')


def _small(read: _cloud_files.CloudFiles, size: int, few: str) -> list[Any]:
    """A list for each cloud with a warning if it has fewer points than `size`."""
    small = [
        f'{path}: {len(cloud)} points'
        for path, cloud in zip(read.files, read.clouds, strict=True)
        if len(cloud) < size
    ]
    if small and few == 'refuse':
        listed = '\n    '.join(small)
        raise UserError(
            f'the model takes {size} points; these have fewer:\n    {listed}\n  give --few=repeat '
            'to have theirs repeated, or leave them out'
        )
    return [
        [f'{len(cloud)} points, of which the model takes {size}: they are repeated']
        if len(cloud) < size
        else []
        for cloud in read.clouds
    ]


def _drawn(read: _cloud_files.CloudFiles, metadata: Mapping[str, Any]) -> list[np.ndarray]:
    """The clouds, of larger ones as many points as the training clouds had, as the reader of
    class folders draws them: of points that are closer together than theirs, the farthest lie more
    evenly.
    """
    most = metadata.get('stored_points')
    return [
        draw(cloud, path.name, most, seed=0) if most and len(cloud) > most else cloud
        for path, cloud in zip(read.files, read.clouds, strict=True)
    ]


def _placed(clouds: Sequence[np.ndarray], normalize: bool) -> list[np.ndarray]:
    place = unit_sphere if normalize else to_float32
    return [place(cloud[None])[0] for cloud in clouds]


def _is_unit(cloud: np.ndarray) -> bool:
    center = np.linalg.norm(cloud[:, :3].mean(axis=0))
    return center < 0.1 and 0.8 < np.linalg.norm(cloud[:, :3], axis=1).max() < 1.25


def _rows(
    read: _cloud_files.CloudFiles,
    warnings: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    top: int,
) -> list[Row]:
    order = np.argsort(-probabilities, axis=-1, kind='stable')[:, :top]
    return [
        {
            'file': str(path),
            'points': len(cloud),
            'warning': message,
            'classes': [classes[i] for i in best],
            'probabilities': [float(row[i]) for i in best],
        }
        for path, cloud, message, row, best in zip(
            read.files, read.clouds, warnings, probabilities, order, strict=True
        )
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its status, 1 if files were left out."""
    parser = flags.parser('predict', __doc__)
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('paths', nargs='+', help='cloud files, or folders of them')
    parser.add_argument('--top', type=int, default=3, help='classes a cloud')
    parser.add_argument(
        '--normalize',
        action='store_true',
        help='centre, scale to radius 1; always done where the training clouds were',
    )
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    parser.add_argument('--text-features', help='an .npz of features and classes: no training')
    parser.add_argument('--channels', default='', help='for text features: color')
    parser.add_argument('--swap-yz', action='store_true', help='for text features: z is up')
    parser.add_argument(
        '--few',
        choices=sampling.FEW,
        default='repeat',
        help='what to do with clouds of fewer points than the model takes (default: repeat)',
    )
    parser.add_argument('--csv', help='write a table there too')
    options = parser.parse_args(arguments)
    if options.csv:
        command_line.check_target(options.csv)
    _cloud_files.find(options.paths)
    command_line.start()
    shared = {'top': options.top, 'normalize': options.normalize, 'few': options.few}
    if options.text_features:
        rows, complaint = predict_by_text(
            options.run,
            options.paths,
            options.text_features,
            channels=tuple(filter(None, options.channels.split(','))),
            swap_yz=options.swap_yz,
            **shared,
        )
    else:
        rows, complaint = predict_files(
            options.run, options.paths, backbone=options.backbone, **shared
        )
    for row in rows:
        best = zip(row['classes'], row['probabilities'], strict=True)
        print(f'{row["file"]}: ' + ', '.join(f'{name} {100 * p:.1f} %' for name, p in best))
        if row['warning']:
            print(f'  warning: {row["warning"]}', file=sys.stderr)
    if options.csv:
        _write_csv(options.csv, rows)
        print(command_line.written(options.csv))
    if complaint:
        print(f'error: {complaint}', file=sys.stderr)
    return 1 if complaint else 0


def _write_csv(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    table: list[Sequence[Any]] = [('file', 'points', 'warning', 'rank', 'class', 'probability')]
    for row in rows:
        facts = (row['file'], row['points'], row['warning'])
        best = zip(row['classes'], row['probabilities'], strict=True)
        table += [(*facts, rank, *answer) for rank, answer in enumerate(best, start=1)]
    try:
        with open(path, 'w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows(table)
    except OSError as error:
        raise UserError(f'--csv={path} can not be written ({error})') from None
