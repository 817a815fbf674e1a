"""Broken files, read in a process of their own under a limit of time and memory.

`outcomes` starts this file as a program: it reads files, or mutants of them that it draws from a
seed, and counts what came of each: a value, a `UserError` that names the file, or anything else.
"""

import json
import pathlib
import pickletools
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 5  # of the processor, for one file
MEGABYTES = 512  # beyond what the imports take
EXTREMES = [b'\0' * 4, b'\xff' * 4, b'\xff\xff\xff\x7f', b'\0' * 8, b'\xff' * 8, b'\0\xca\x9a\x3b']
BOMB = b')\x85' + b'2\x86' * 40  # a tuple that holds one twice, 40 levels deep
HOSTILE = [
    BOMB,
    b'}' + BOMB + b'Ns',
    b'(' * 200,
    b']' * 200,
    b')\x85' * 200,
    b'\x8f',
    b'R',
    b'b',
    b'a',
]


def outcomes(reader: str, folder: pathlib.Path, kind: str, count: int = 0, seed: int = 0) -> dict:
    """What came of the files in a folder, or of mutants of them.

    Args:
        reader: a name in `READERS`.
        folder: with the files.
        kind: 'files' for the files themselves, or how to mutate them, see `MUTATIONS`.
        count: the number of mutants.
        seed: of the mutants.

    Returns:
        The numbers of 'values' and 'user_errors', the list 'others' of what was neither, and
        'megabytes', by which the memory in use grew at most.
    """
    command = [sys.executable, __file__, reader, str(folder), kind, str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1500)
    assert done.returncode == 0, f'the process ended with {done.returncode}: {done.stderr[-2000:]}'
    return json.loads(done.stdout.splitlines()[-1])


def assert_read_or_refused(found: dict, count: int) -> None:
    """Nothing but values and user errors came of `count` files, in a bounded memory."""
    assert found['others'] == []
    assert found['values'] + found['user_errors'] == count
    assert found['megabytes'] < MEGABYTES


class OutOfTime(BaseException):
    """No Exception, lest a reader takes it for damage."""


def bytes_mutant(data: bytes, draw: random.Random, all_data: list[bytes]) -> bytes:
    """`data` with one to three changes of bytes: flipped, set, cut, put in, doubled, spliced."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        at, length = draw.randrange(len(data) + 1), draw.choice([1, 1, 2, 4, 8, 40])
        piece = data[at : at + length]
        match draw.choice([0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6]):
            case 0:
                flipped = bytes([data[at] ^ 1 << draw.randrange(8)]) if piece else b''
                data = data[:at] + flipped + data[at + 1 :]
            case 1:
                data = data[:at] + draw.randbytes(len(piece)) + data[at + length :]
            case 2:
                data = data[:at] + data[at + length :]
            case 3:
                data = data[:at] + draw.randbytes(length) + data[at:]
            case 4:
                data = data[:at] + piece * draw.choice([2, 3, 1000]) + data[at + length :]
            case 5:
                extreme = draw.choice(EXTREMES)
                data = data[:at] + extreme + data[at + len(extreme) :]
            case 6:
                other = draw.choice(all_data)
                start = draw.randrange(len(other) + 1)
                data = data[:at] + other[start : start + draw.choice([8, 64, 512])] + data[at:]
    return data


def opcodes_mutant(data: bytes, draw: random.Random, all_data: list[bytes]) -> bytes:
    """A pickle with one to four changes of instructions: left out, doubled, swapped, put in."""
    steps = instructions(data)
    for _ in range(draw.randint(1, 4)):
        at, other = draw.randrange(len(steps)), draw.randrange(len(steps))
        match draw.randrange(6):
            case 0:
                steps = steps[:at] + steps[at + 1 :] or steps
            case 1:
                steps[at:at] = [steps[at]] * draw.choice([1, 2, 100])
            case 2:
                steps[at], steps[other] = steps[other], steps[at]
            case 3:
                steps[at:at] = [draw.choice(instructions(draw.choice(all_data)))]
            case 4:
                steps[at:at] = [draw.choice(HOSTILE)]
            case 5:
                code, argument = steps[at][:1], steps[at][1:]
                steps[at] = code + draw.choice([*EXTREMES, b''])[: len(argument)]
    return b''.join(steps)


def instructions(data: bytes) -> list[bytes]:
    """The instructions of one pickle, each with its argument."""
    starts = [position for _, _, position in pickletools.genops(data)]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def in_archive(mutant: Callable[..., bytes]) -> Callable[..., bytes]:
    """Mutates the pickle in a PyTorch archive, whose checksums are made anew."""
    import torch_archive

    def mutate(data: bytes, draw: random.Random, all_data: list[bytes]) -> bytes:
        if not data.startswith(b'PK'):
            return mutant(data, draw, all_data)
        pickles = [torch_archive.unzipped(d)['data.pkl'] for d in all_data if d.startswith(b'PK')]
        entries = torch_archive.unzipped(data)
        return torch_archive.zipped(
            entries | {'data.pkl': mutant(entries['data.pkl'], draw, pickles)}
        )

    return mutate


def in_pages(data: bytes, draw: random.Random, all_data: list[bytes]) -> bytes:
    """Mutates an .e57, whose pages get their checksums anew."""
    import reader_cases

    contents = [reader_cases.e57_content(d) for d in all_data]
    content = reader_cases.e57_content(data)
    return reader_cases.e57_pages(bytes_mutant(content, draw, contents))


MUTATIONS = {
    'bytes': lambda: bytes_mutant,
    'opcodes': lambda: opcodes_mutant,
    'bytes_of_pickle': lambda: in_archive(bytes_mutant),
    'bytes_of_e57': lambda: in_pages,
    'opcodes_of_pickle': lambda: in_archive(opcodes_mutant),
}


def torch_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.checkpoints import torch_file

    return torch_file.state_dict


def pickle_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.data.files import array_pickle

    return array_pickle.load


def points_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.data.files import points

    return points.read


def h5_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.data.files import h5

    return h5.read


def json_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.core import json_files

    return json_files.read_json


def spec_reader() -> Callable[[pathlib.Path], object]:
    from point_ft_jax.core import json_files
    from point_ft_jax.models import spec

    return lambda path: spec.from_json(json_files.read_json(path), str(path))


def teachers_reader() -> Callable[[pathlib.Path], object]:
    import numpy as np

    from point_ft_jax.data import teachers
    from point_ft_jax.data.split import Split

    split = Split(np.zeros((2, 4, 3), np.float32), np.zeros(2, np.int32), ('a',))
    return lambda path: teachers.attach(split, path)


READERS = {
    name.removesuffix('_reader'): make
    for name, make in list(globals().items())
    if name.endswith('_reader')
}


def files(folder: pathlib.Path, kind: str, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """The name and bytes of each file to read."""
    paths = sorted(path for path in folder.iterdir() if path.suffix != '.py')
    contents = [path.read_bytes() for path in paths]
    if kind == 'files':
        yield from ((path.name, data) for path, data in zip(paths, contents, strict=True))
        return
    mutate = MUTATIONS[kind]()
    for number in range(count):
        draw = random.Random(f'{seed} {number}')
        which = draw.randrange(len(paths))
        data = mutate(contents[which], draw, contents)
        yield f'{seed}_{number}_{paths[which].name}', data


def outcome(read: Callable[[pathlib.Path], object], path: pathlib.Path) -> str | None:
    """'values' or 'user_errors', or what else came of it."""
    from point_ft_jax.core.errors import UserError

    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        read(path)
        return 'values'
    except UserError as error:
        named, short = str(path) in str(error), len(str(error)) < 5000
        return 'user_errors' if named and short else f'a message without the name: {error}'[:500]
    except BaseException as error:
        return f'{type(error).__name__}: {error}'[:500]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main(reader: str, folder: str, kind: str, count: str, seed: str) -> None:
    """Reads the files and prints what `outcomes` returns."""
    import tempfile

    def late(*_: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGVTALRM, late)
    # What Python's signals can't interrupt is ended with the process.
    most = SECONDS * max(20, int(count) // 5)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    read = READERS[reader]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict = {'values': 0, 'user_errors': 0, 'others': []}
    with tempfile.TemporaryDirectory() as temporary:
        for name, data in files(pathlib.Path(folder), kind, int(count), int(seed)):
            path = pathlib.Path(temporary) / name
            path.write_bytes(data)
            what = outcome(read, path)
            if what in found:
                found[what] += 1
            else:
                found['others'].append(f'{name}: {what}')
            path.unlink()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found | {'megabytes': (after - before) // 1024}))


if __name__ == '__main__':
    sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
    main(*sys.argv[1:])
