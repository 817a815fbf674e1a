"""The metrics of a run: one JSON object a line in metrics.jsonl, mirrored to trackers.

A line holds `step`, `epoch`, the scalars, and `timing`, an object with whatever differs between two
runs of the same bits (seconds, clouds per second). Numbers are written in full precision; what JSON
cannot hold, NaN and the infinities, is null. 'checksum' is of all the rest.
"""

import contextlib
import json
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from point_ft_jax.core import disk
from point_ft_jax.core.devices import say
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import plain
from point_ft_jax.training import trackers

FILE = 'metrics.jsonl'
CHECKSUM = 'checksum'
SAFE = (
    'The states in last/ and best/ are whole: make room, or mend the disk, and give the same '
    'command again to go on'
)
FIELDS = ('step', 'epoch', 'timing', CHECKSUM)  # what is no scalar


@contextlib.contextmanager
def writer(
    folder: str | os.PathLike | None,
    resume_step: int = -1,
    log: Sequence[str] = ('tensorboard',),
) -> Iterator[Callable[..., None]]:
    """Opens the metrics of a run for writing.

    A run that is killed and resumed leaves the file of an uninterrupted one, except `timing`: what
    was written after the checkpoint is dropped here and written again. It takes a step's line to be
    written before the step's checkpoint is saved.

    Args:
        folder: the run's folder, made if missing; None for a writer that does nothing, as in all
            processes but the first.
        resume_step: the step of the checkpoint that the run goes on from, -1 for the beginning;
            lines of later steps are dropped.
        log: where to they are mirrored; see `trackers`.

    Yields:
        `write(step, epoch, scalars, timing=None)`, which appends a line and flushes it. `scalars`
        and `timing` map names to numbers, NumPy's and JAX's too; 'step', 'epoch' and 'timing' are
        no names for scalars (TypeError).

    Raises:
        UserError: a broken file, or a tracker that there is not.
    """
    if folder is None:
        yield lambda *_, **__: None
        return
    path = pathlib.Path(folder) / FILE
    with disk.writing(f'{path}', SAFE):
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(path, resume_step)
    board = trackers.opened(log, path.parent, resume_step)
    with board as track, path.open('a', encoding='utf-8', newline='\n') as file:

        def write(
            step: int,
            epoch: float,
            scalars: Mapping[str, Any],
            timing: Mapping[str, Any] | None = None,
        ) -> None:
            record = dict(step=step, epoch=epoch, **scalars, timing=timing or {})
            line = plain(record)
            text = json.dumps({**line, CHECKSUM: _checksum(line)}, allow_nan=False) + '\n'
            timed = {f'timing/{name}': value for name, value in record['timing'].items()}
            # Not written as NaN: TensorBoard would draw a gap as well, but log a warning each.
            numbers = {k: float(v) for k, v in {**scalars, **timed}.items() if math.isfinite(v)}
            with disk.writing(f'{path}', SAFE):
                file.write(text)
                file.flush()
                track(int(step), numbers)

        yield write


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl in order, without a last one that a kill left torn.

    Args:
        path: the file, or the folder that it is in.

    Returns:
        One dict a line; null has become None, which `numpy.array(..., float)` takes for NaN.

    Raises:
        UserError: no such file, or a line before the last that is not metrics.
    """
    path = pathlib.Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise UserError(f'no metrics at {path}; expected the {FILE} of a run, or its folder')
    return [record for _, record in _lines(path)]


def check_epochs(folder: pathlib.Path, epochs: int) -> None:
    """Says so where the metrics of a run that goes on after `epochs` epochs lack some of them."""
    if (found := len(read(folder))) != epochs:
        say(
            f'{folder / FILE} has {found} of the {epochs} epochs so far: it was cut off, and '
            'curves lack the others; weights and scores are not from there'
        )


def _lines(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """Every line as it was written, and what it says."""
    lines = path.read_text('utf-8', errors='replace').splitlines(keepends=True)
    read = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            record['step'], record['epoch']
            _check(record)
        except (ValueError, TypeError, KeyError):
            if number == len(lines) and not line.endswith('\n'):
                break
            raise UserError(
                f'{path}, line {number}: expected a JSON object with "step" and "epoch", as it was '
                f'written, found {line.strip()[:60]!r}. Mend or delete the line.'
            ) from None
        read.append((line.rstrip('\n') + '\n', record))
    return read


def _checksum(record: Mapping[str, Any]) -> str:
    """The CRC-32 of a line's other fields."""
    rest = {name: value for name, value in record.items() if name != CHECKSUM}
    return f'{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}'


def _check(record: dict[str, Any]) -> None:
    """Takes the checksum off; ValueError if it differs. Older versions wrote none."""
    found = record.pop(CHECKSUM, None)
    if found is not None and found != _checksum(record):
        raise ValueError('another checksum')
    if any(not isinstance(record[name], int | float | None) for name in record.keys() - FIELDS):
        raise ValueError('a scalar that is no number')  # such as a checksum whose name is damaged


def _drop_after(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    kept = ''.join(line for line, record in _lines(path) if record['step'] <= step)
    scratch = path.with_name(f'{path.name}.tmp')
    with scratch.open('w', encoding='utf-8', newline='\n') as file:
        file.write(kept)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)  # a kill in between leaves the old file or the new, never half of one
