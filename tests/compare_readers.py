"""Readers of other libraries beside those of this one, on the files of reader_cases.py: a table.

    python tests/compare_readers.py > table.md       # with trimesh, plyfile, laspy[lazrs], ...

Every file is read in a process of its own under a limit of time and memory. A file that holds
points must give these points, one that is damaged must be refused; anything else is counted as
wrong. Then as many mutants as MUTANTS of the sound files are read: each must give points or an
exception; what ends the process, takes longer or more memory is counted.
"""

import importlib.metadata
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable

import fuzz
import numpy as np
import reader_cases

MUTANTS = int(os.environ.get('MUTANTS', '300'))
SECONDS = 5
MEGABYTES = 1024
RIGHT, WRONG, REFUSED, ENDED, LATE, HUNGRY = range(6)
Reader = Callable[[pathlib.Path], np.ndarray]


def of_trimesh(path: pathlib.Path) -> np.ndarray:
    import trimesh

    found = trimesh.load(path, process=False, maintain_order=True)
    if hasattr(found, 'geometry'):
        found = next(iter(found.geometry.values()))
    return np.asarray(found.vertices)


def of_plyfile(path: pathlib.Path) -> np.ndarray:
    import plyfile

    vertex = plyfile.PlyData.read(path)['vertex']
    return np.stack([np.asarray(vertex[axis], np.float64) for axis in 'xyz'], axis=-1)


def of_laspy(path: pathlib.Path) -> np.ndarray:
    import laspy

    return np.asarray(laspy.read(path).xyz)


def of_pypcd4(path: pathlib.Path) -> np.ndarray:
    import pypcd4

    cloud = pypcd4.PointCloud.from_path(path)
    return np.stack([cloud.pc_data[axis].astype(np.float64) for axis in 'xyz'], axis=-1)


def of_pye57(path: pathlib.Path) -> np.ndarray:
    import pye57

    scan = pye57.E57(str(path)).read_scan(0, ignore_missing_fields=True)
    return np.stack([scan[f'cartesian{axis}'] for axis in 'XYZ'], axis=-1)


def of_pandas(path: pathlib.Path) -> np.ndarray:
    import pandas

    table = pandas.read_csv(path, sep=None, engine='python', comment='#')
    if not {'x', 'y', 'z'} <= {*map(str, table.columns)}:
        table = pandas.read_csv(path, sep=None, engine='python', comment='#', header=None)
        return table.iloc[:, :3].to_numpy(np.float64)
    return table[['x', 'y', 'z']].to_numpy(np.float64)


def of_polars(path: pathlib.Path) -> np.ndarray:
    import polars

    table = polars.read_csv(path, comment_prefix='#')
    if not {'x', 'y', 'z'} <= set(table.columns):
        table = polars.read_csv(path, has_header=False, comment_prefix='#')
        return table[:, :3].to_numpy().astype(np.float64)
    return table['x', 'y', 'z'].to_numpy().astype(np.float64)


def of_numpy(path: pathlib.Path) -> np.ndarray:
    return np.loadtxt(path, usecols=(0, 1, 2), ndmin=2)


def of_this_library(path: pathlib.Path) -> np.ndarray:
    from point_ft_jax.data.files import named, points

    if path.suffix in named.MESHES:
        found = named.MESHES[path.suffix](path.read_bytes()).vertices
        return np.stack([found[axis] for axis in 'xyz'], axis=-1)
    return points.read(path)


READERS = {
    'ply': (of_this_library, of_plyfile, of_trimesh),
    'obj': (of_this_library, of_trimesh),
    'off': (of_this_library, of_trimesh),
    'stl': (of_this_library, of_trimesh),
    'csv': (of_this_library, of_pandas, of_polars, of_numpy),
    'las': (of_this_library, of_laspy),
    'pcd': (of_this_library, of_pypcd4),
    'e57': (of_this_library, of_pye57),
}


def outcome(read: Reader, path: pathlib.Path, expected: np.ndarray | None, damaged: bool) -> int:
    """What comes of reading a file in a child process; a mutant's points are not compared."""
    child = os.fork()
    if child == 0:
        os._exit(_in_child(read, path, expected, damaged))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    late = os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL)
    return LATE if late else ENDED


def _in_child(read: Reader, path: pathlib.Path, expected: np.ndarray | None, damaged: bool) -> int:
    warnings.simplefilter('ignore')
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    with open('/proc/self/statm') as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEGABYTES * 2**20,) * 2)
    try:
        found = read(path)
    except MemoryError:
        return HUNGRY
    except Exception:
        return HUNGRY if 'bad_alloc' in traceback.format_exc() else REFUSED
    except BaseException:
        return ENDED
    if damaged:
        return RIGHT
    if expected is None or np.shape(found) != expected.shape:
        return WRONG
    return RIGHT if np.allclose(found, expected, rtol=1e-12, atol=1e-6) else WRONG


def compared(ending: str, read: Reader, cases: reader_cases.Cases) -> list[str]:
    """A line of the table: how a reader does on the cases, and on mutants."""
    wrong, good = [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f'a.{ending}'
        for name, (content, expected) in cases.items():
            path.write_bytes(content)
            found = outcome(read, path, expected, damaged=False)
            if found == (RIGHT if expected is not None else REFUSED):
                good += 1
            else:
                what = {
                    RIGHT: 'read',
                    WRONG: 'read wrong',
                    REFUSED: 'refused',
                    ENDED: 'ends the process',
                }
                what |= {LATE: 'too long', HUNGRY: 'out of memory'}
                wrong.append(f'{name} ({what[found]})')
        counts = np.zeros(6, int)
        mutate = fuzz.in_pages if ending == 'e57' else fuzz.bytes_mutant
        contents = [content for content, expected in cases.values() if expected is not None]
        for number in range(MUTANTS):
            draw = random.Random(f'{ending} {number}')
            path.write_bytes(mutate(draw.choice(contents), draw, contents))
            counts[outcome(read, path, None, damaged=True)] += 1
    mutants = (
        f'{counts[RIGHT]} / {counts[REFUSED]} / {counts[ENDED]} / {counts[LATE]} / {counts[HUNGRY]}'
    )
    return [f'{good} of {len(cases)}', '; '.join(wrong) or '-', mutants]


def version(read: Reader) -> str:
    name = read.__name__.removeprefix('of_')
    if name == 'this_library':
        return 'this library'
    return f'{name} {importlib.metadata.version(name)}'


def main(*endings: str) -> None:
    """Prints the table."""
    print('| format | reader | cases | wrong | mutants: read / refused / ended / late / hungry |')
    print('|---|---|---|---|---|')
    for ending in endings or READERS:
        if ending not in reader_cases.CASES:
            continue
        for read in READERS[ending]:
            with tempfile.TemporaryDirectory() as folder:  # imports, and what they compile, once
                path = pathlib.Path(folder) / f'a.{ending}'
                cases = reader_cases.CASES[ending]()
                path.write_bytes(next(iter(cases.values()))[0])
                try:
                    if read is of_polars:  # its threads do not live on in a child
                        importlib.metadata.version('polars')
                    else:
                        read(path)
                except ImportError as error:
                    print(f'| {ending} | {read.__name__} | not installed: {error} | | |')
                    continue
                except Exception as error:
                    print(f'<!-- {read.__name__} {error} -->')
            print(
                f'| {ending} | {version(read)} | '
                + ' | '.join(compared(ending, read, cases))
                + ' |',
                flush=True,
            )


if __name__ == '__main__':
    sys.path.insert(0, str(fuzz.ROOT))
    main(*sys.argv[1:])
