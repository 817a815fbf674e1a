"""checksums.json: the size and the SHA-256 of every file in a folder that is written once.

It is written last, when all others are on the disk: a folder without one was not finished.
"""

import pathlib

from point_ft_jax.core import disk
from point_ft_jax.core.errors import UserError, some
from point_ft_jax.core.json_files import read_json, write_json

NAME = 'checksums.json'


def write(folder: pathlib.Path) -> None:
    """Writes the checksums of what is in a folder, which is on the disk already."""
    files = {str(path.relative_to(folder)): _facts(path) for path in _files(folder)}
    write_json(folder / NAME, {'files': files})


def exist(folder: pathlib.Path) -> bool:
    """Whether the folder has checksums."""
    return (folder / NAME).exists()


def problems(folder: pathlib.Path) -> list[str]:
    """What in a folder is not what was written, a file each; empty for nothing.

    Raises:
        DiskError: a file that this user may not read.
    """
    try:
        files = read_json(folder / NAME)['files']
        return [
            f'{name} {problem}'
            for name, facts in sorted(files.items())
            if (problem := _problem(folder / name, *facts))
        ]
    except UserError as error:
        return [str(error)]
    except (KeyError, TypeError, AttributeError, ValueError):
        return [f'{NAME} is not what was written']


def told(folder: pathlib.Path, found: list[str]) -> str:
    """The problems of a folder in one line."""
    return f'{folder} is damaged ({some(found, 3)})'


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob('*') if path.is_file() and path.name != NAME)


def _facts(path: pathlib.Path) -> list:
    return [path.stat().st_size, disk.digest(path)]


def _problem(path: pathlib.Path, size: int, digest: str) -> str:
    try:
        if not path.is_file():
            return 'is missing'
        if (found := path.stat().st_size) != size:
            return f'has {found:,} bytes of {size:,}'
        return '' if disk.digest(path) == digest else 'has another checksum'
    except PermissionError:
        raise disk.DiskError(f'{path} may not be read by this user') from None
    except OSError as error:
        return f'cannot be read ({error.strerror})'
