"""Backbones that ship with this project, each with the log of the command that made it."""

import pathlib

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json

SHIPPED = 'shipped:'
FOLDER = pathlib.Path(__file__).parent


def locate(path: str) -> str:
    """The file of 'shipped:NAME'; any other path with its ~ expanded.

    Raises:
        UserError: nothing of that name ships.
    """
    if not path.startswith(SHIPPED):
        return str(pathlib.Path(path).expanduser())
    names = sorted(file.stem for file in FOLDER.glob('*.pth'))
    if (name := path.removeprefix(SHIPPED)) not in names:
        raise UserError(f'no {path}; there are {", ".join(SHIPPED + name for name in names)}')
    return str(FOLDER / f'{name}.pth')


def summaries() -> dict[str, str]:
    """'shipped:NAME' -> its backbone, its size and the command that made it, of its log."""
    found = {}
    for file in sorted(FOLDER.glob('*.pth')):
        lines = file.with_suffix('.log').read_text(encoding='utf-8').splitlines()
        [made, *_] = [line[2:] for line in lines if line.startswith('$ ')] or ['']
        size = file.stat().st_size / 2**20
        spec = read_json(file.with_suffix('.json'))
        kind = f'{spec["backbone"]}, {spec["variant"]}'
        found[SHIPPED + file.stem] = f'{kind}, {size:.1f} MiB, pre-trained by {made}'
    return found
