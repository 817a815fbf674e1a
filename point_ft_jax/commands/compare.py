"""Compares runs: where their configs differ, and their results side by side, with intervals.

python run.py --config=configs/recon_dapt.py
python run.py --config=configs/recon_dapt.py:probe
point-ft compare runs/recon_dapt runs/recon_dapt_probe
    two runs or more, of any jobs that have written a report

Intervals are of 95 %. Classifiers that were tested on the same clouds are compared cloud by cloud
too: their own intervals may overlap where that difference is certain.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from point_ft_jax.core import flags
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.json_files import fields, read_json
from point_ft_jax.experiments.run_folder import CONFIG
from point_ft_jax.reports import intervals, records, tables
from point_ft_jax.reports.report import RESULT
from point_ft_jax.reports.samples import Samples

UNSET = '-'
LONGEST = 40  # letters of a value in a table
OWN = ('name', 'folder')  # fields that differ between any two runs


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = flags.parser('compare', __doc__)
    parser.add_argument('runs', nargs='+', help="two runs' folders or more")
    print(compared(parser.parse_args(arguments).runs))


def compared(runs: Sequence[str]) -> str:
    """The comparison as text.

    Raises:
        UserError: fewer than two runs, a folder that is none of a run, or a run without a report.
    """
    if len(set(runs)) < 2:
        raise UserError(f'{len(set(runs))} run to compare; expected two or more')
    folders = [pathlib.Path(run).expanduser() for run in runs]
    raise_all(
        [problem for folder in folders if (problem := _problem(folder))],
        'these runs cannot be compared:',
    )
    configs = [fields(read_json(folder / CONFIG)) for folder in folders]
    scores = [read_json(folder / RESULT)['scores'] for folder in folders]
    names = _short(runs)
    legend = [f'{name}: {run}' for name, run in zip(names, runs, strict=True) if name != run]
    parts = [
        *(['\n'.join(legend)] if legend else []),
        'Configs\n\n' + (_table(_differences(configs), names) or 'They are the same.'),
        'Results (95 % intervals in brackets)\n\n' + _table(_rows(scores), names),
        *_pairs(folders, configs, names),
    ]
    return '\n\n'.join(parts)


def _problem(folder: pathlib.Path) -> str:
    """What is wrong with a folder; '' where nothing is."""
    if not (folder / CONFIG).is_file():
        return f'{folder} is no folder of a run: it has no {CONFIG}'
    again = f'python run.py --config={folder / CONFIG}'
    if not (folder / RESULT).is_file():
        return f'{folder} has no result yet; {again} goes on with it'
    if 'scores' not in read_json(folder / RESULT):
        return f'{folder} is of before results could be compared; {again} reads it back'
    return ''


def _short(runs: Sequence[str]) -> list[str]:
    """The runs' last names where these differ, else A, B, C."""
    last = [pathlib.Path(run).name for run in runs]
    return last if len(set(last)) == len(runs) else [chr(ord('A') + i) for i in range(len(runs))]


def _differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for config in configs for name in config)
    found = {}
    for name in names:
        values = [_shown(config.get(name, UNSET)) for config in configs]
        if len(set(values)) > 1 and name not in OWN:
            found[name] = values
    return found


def _rows(scores: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for score in scores for name in score)
    return {name: [str(score.get(name, UNSET)) for score in scores] for name in names}


def _table(rows: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    lines = [{'': name, **dict(zip(names, values, strict=True))} for name, values in rows.items()]
    return tables.text(lines)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'


def _pairs(
    folders: Sequence[pathlib.Path],
    configs: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> list[str]:
    """What each later run has over the first, cloud by cloud, where both saw the same clouds."""
    first, *others = [_answers(folder) for folder in folders]
    data = [{k: v for k, v in c.items() if k.startswith('data.')} for c in configs]
    lines = []
    for name, other, own in zip(names[1:], others, data[1:], strict=True):
        if first is None or other is None or own != data[0]:
            continue
        if np.array_equal(first.labels, other.labels):
            mean, low, high = (
                100 * value for value in intervals.paired(_right(first), _right(other))
            )
            certain = '' if low > 0 or high < 0 else ': they may be equally good'
            lines.append(
                f'{name} against {names[0]}: {mean:+.2f} points of accuracy '
                f'({low:+.2f} to {high:+.2f}){certain}'
            )
    if not lines:
        return []
    head = f'Cloud by cloud, on the {len(first.labels):,} clouds of the test split (first seeds)'
    return [head + '\n\n' + '\n'.join(lines)]


def _answers(folder: pathlib.Path) -> Samples | None:
    """What a run answered to its test clouds, if it kept that."""
    if not (folder / records.FILE).is_file():
        return None
    record = records.read(folder / records.FILE)
    found = getattr(record, 'gallery', None) or getattr(record, 'shown', None)
    return found if isinstance(found, Samples) else None


def _right(answers: Samples) -> np.ndarray:
    return answers.probabilities.argmax(1) == answers.labels
