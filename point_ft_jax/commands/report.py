"""Writes a run's report again, from what the run left for it: no training, no data, no model.

python run.py --config=configs/recon_dapt.py
point-ft report runs/recon_dapt
point-ft report runs/recon_dapt --out=elsewhere
    report.md, report.html, result.json and the figures, in the run's folder or in another

Worth it after a report was lost, after plotly was installed (clouds turn in report.html), or where
a newer version draws more.
"""

import pathlib
import sys
from collections.abc import Sequence

from point_ft_jax.core import flags
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import command_line
from point_ft_jax.reports import page, records
from point_ft_jax.reports.report import Report


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = flags.parser('report', __doc__)
    parser.add_argument('run', help="a run's folder")
    parser.add_argument('--out', help='where to; by default the run itself')
    options = parser.parse_args(arguments)
    if options.out:
        command_line.check_folder(options.out)
    folder = pathlib.Path(options.run).expanduser()
    report = rebuilt(folder)
    path = report.write(pathlib.Path(options.out).expanduser() if options.out else folder)
    print(f'{report.outcome}\nreport: {path}; {path.with_suffix(".html").name} shows it')
    if page.plotly() is None:
        print(f'note: clouds turn in report.html where plotly is: {page.INSTALL}')


def rebuilt(folder: pathlib.Path) -> Report:
    """The report of a finished run.

    Raises:
        UserError: no run, one that has not ended, or one of before reports left what they are of.
    """
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder; expected that of a run')
    if not (folder / records.FILE).exists():
        has_config = (folder / 'config.json').exists()
        then = (
            f'; python run.py --config={folder / "config.json"} goes on with it where it was '
            'stopped, or reads it back, and writes its report'
            if has_config
            else f'; expected the folder of a run, with {records.FILE}'
        )
        raise UserError(f'{folder} has no {records.FILE} to write a report from{then}')
    record = records.read(folder / records.FILE)
    return sys.modules[type(record).__module__].make_report(record)
