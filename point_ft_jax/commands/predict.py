"""Predicts the class of clouds in files, with probabilities.

point-ft predict runs/recon_dapt chair.ply scans/ --top=3
point-ft predict uni3d.pt chair.ply --text-features=classes.npz --channels=color

With text features, one row a class name, a published model that has a space of texts classifies
without training: see `text_features.read` for the file. Its clouds are in the unit sphere
(--normalize), with the y axis up.

A cloud is compared with those that the model was trained on: another number of points, or another
scale, is warned of, since either hurts accuracy without a sign.
"""

import csv
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.core import flags
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.checks import cloud_problems
from point_ft_jax.data.files import points as point_files
from point_ft_jax.data.files.inventory import is_system
from point_ft_jax.data.likeness import differences
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.precision import to_float32
from point_ft_jax.experiments import command_line


def predict_files(
    run: str,
    paths: Sequence[str],
    *,
    top: int = 3,
    normalize: bool = False,
    backbone: str | None = None,
) -> list[dict[str, Any]]:
    """The `top` classes of every cloud in `paths` (files, or folders of files).

    Args:
        run: the folder of a run, or of a delta.
        paths: see `point_files.READERS` for the endings.
        top: how many classes to give.
        normalize: centre every cloud and scale it to radius 1 first.
        backbone: see `checkpoints.run.load_run`.

    Returns:
        A row a cloud: 'file', 'points', 'warning' ('' for none), 'classes' and 'probabilities'
        (best first, in 0..1).

    Raises:
        UserError: no run or no classifier, no files, unreadable files, or clouds with fewer points
            than the model takes; one message lists them all.
    """
    import jax

    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.core.devices import make_mesh
    from point_ft_jax.evaluation import inference

    loaded = saved.load_run(run, backbone)
    metadata = loaded.metadata
    if loaded.model.spec.num_parts is not None:
        raise UserError(
            f'{run} segments parts, and what is predicted here are classes; look at its report, or '
            'evaluate it with point-ft evaluate'
        )
    files = find_files(paths)
    clouds = _read(files, metadata.get('channels', ()), metadata['points'])
    clouds = _placed(clouds, normalize)
    predict = inference.make_predict(loaded.model.module, make_mesh(), min(len(clouds), 32))
    points = np.concatenate(
        [inference.prepare(cloud[None], metadata['points']) for cloud in clouds]
    )
    probabilities = np.asarray(jax.nn.softmax(predict(loaded.variables, points)))
    warnings = ['; '.join(differences(cloud, metadata)) for cloud in clouds]
    return _rows(files, clouds, warnings, probabilities, metadata['classes'], top)


def predict_by_text(
    weights: str,
    paths: Sequence[str],
    features: str,
    *,
    top: int = 3,
    normalize: bool = False,
    channels: Sequence[str] = (),
    swap_yz: bool = False,
) -> list[dict[str, Any]]:
    """The `top` classes of every cloud, as `predict_files`, by text features of their names.

    Args:
        weights, features, swap_yz: see `_zero_shot.classify`.
        paths, top, normalize: see `predict_files`.
        channels: what to read of a point beside its place, such as 'color'.

    Raises:
        UserError: files that cannot be read or do not fit.
    """
    from point_ft_jax.commands import _zero_shot

    files = find_files(paths)
    clouds = _placed(_read(files, channels), normalize)
    probabilities, classes = _zero_shot.classify(weights, features, clouds, swap_yz)
    warnings = ['' if _is_unit(c) else 'not in the unit sphere (--normalize?)' for c in clouds]
    return _rows(files, clouds, warnings, probabilities, classes, top)


def _read(
    files: Sequence[pathlib.Path], channels: Sequence[str], fewest: int = 1
) -> list[np.ndarray]:
    """The clouds of files in their precision, after the checks of training."""
    clouds = point_files.read_all(files, channels)
    problems = cloud_problems(clouds, list(map(str, files)))
    pairs = zip(files, clouds, strict=True)
    small = [f'{path}: {len(cloud)} points' for path, cloud in pairs if len(cloud) < fewest]
    if small:
        listed = '\n    '.join(small)
        problems.append(f'the model takes {fewest} points; these have fewer:\n    {listed}')
    raise_all(problems, 'these clouds cannot be used:')
    return clouds


def _placed(clouds: Sequence[np.ndarray], normalize: bool) -> list[np.ndarray]:
    place = unit_sphere if normalize else to_float32
    return [place(cloud[None])[0] for cloud in clouds]


def _is_unit(cloud: np.ndarray) -> bool:
    center = np.linalg.norm(cloud[:, :3].mean(axis=0))
    return center < 0.1 and 0.8 < np.linalg.norm(cloud[:, :3], axis=1).max() < 1.25


def _rows(
    files: Sequence[pathlib.Path],
    clouds: Sequence[np.ndarray],
    warnings: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    top: int,
) -> list[dict[str, Any]]:
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
            files, clouds, warnings, probabilities, order, strict=True
        )
    ]


def find_files(paths: Sequence[str]) -> list[pathlib.Path]:
    """The cloud files that `paths` name, those in folders sorted by name.

    Raises:
        UserError: a path that is not there, or no file of a known ending.
    """
    found: list[pathlib.Path] = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = [p for p in sorted(path.rglob('*')) if _is_inside(p, path)]
            if not inside:
                raise UserError(
                    f'{path} has no cloud: expected files that end in '
                    f'{", ".join(point_files.READERS)}'
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f'no file {path}')
    return found


def _is_inside(file: pathlib.Path, folder: pathlib.Path) -> bool:
    hidden = any(map(is_system, file.relative_to(folder).parts))
    return not hidden and point_files.is_cloud(file)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = flags.parser('predict', __doc__)
    parser.add_argument('run', help="a run's folder, or a delta's")
    parser.add_argument('paths', nargs='+', help='cloud files, or folders of them')
    parser.add_argument('--top', type=int, default=3, help='classes a cloud')
    parser.add_argument('--normalize', action='store_true', help='centre, scale to radius 1')
    parser.add_argument('--backbone', help='a .pth or a run that holds the backbone of a delta')
    parser.add_argument('--text-features', help='an .npz of features and classes: no training')
    parser.add_argument('--channels', default='', help='for text features: color')
    parser.add_argument('--swap-yz', action='store_true', help='for text features: z is up')
    parser.add_argument('--csv', help='write a table there too')
    options = parser.parse_args(arguments)
    command_line.start()
    if options.csv and not pathlib.Path(options.csv).absolute().parent.is_dir():
        raise UserError(f'--csv={options.csv}: there is no such folder')
    shared = {'top': options.top, 'normalize': options.normalize}
    if options.text_features:
        rows = predict_by_text(
            options.run,
            options.paths,
            options.text_features,
            channels=tuple(filter(None, options.channels.split(','))),
            swap_yz=options.swap_yz,
            **shared,
        )
    else:
        rows = predict_files(options.run, options.paths, backbone=options.backbone, **shared)
    for row in rows:
        best = zip(row['classes'], row['probabilities'], strict=True)
        print(f'{row["file"]}: ' + ', '.join(f'{name} {100 * p:.1f} %' for name, p in best))
        if row['warning']:
            print(f'  warning: {row["warning"]}', file=sys.stderr)
    if options.csv:
        _write_csv(options.csv, rows)


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
