"""Trees on disk, through orbax: saved whole or not at all, and known by their checksums.

A save goes to a temporary folder that is renamed when all is written; then everything is brought to
the disk, read back and compared, and its checksums are written beside it. Only then does what was
saved before give way, so that a kill or a power cut at any moment leaves one that is whole. Several
processes save and restore together; topologies may differ.
"""

import contextlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from point_ft_jax.checkpoints import checksums
from point_ft_jax.core import disk
from point_ft_jax.core.devices import agree, main_process
from point_ft_jax.core.errors import UserError

TREE, METADATA = 'tree', 'meta'
MARK = 'checksums'  # in the metadata of what is not finished without them
TEMPORARY = '*.orbax-checkpoint-tmp*'


class CheckpointStore:
    """A folder that holds the newest of a series of trees, with metadata beside each.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 1) -> None:
        """Opens the folder; a save leaves the newest `keep` trees there."""
        self.folder = pathlib.Path(folder).absolute()
        self._keep = keep
        self._sound: dict[int, bool] = {}
        handlers = {TREE: ocp.StandardCheckpointHandler(), METADATA: ocp.JsonCheckpointHandler()}
        self._orbax = ocp.Checkpointer(ocp.CompositeCheckpointHandler(**handlers))

    def __enter__(self) -> 'CheckpointStore':
        return self

    def __exit__(self, *_: object) -> None:
        self._orbax.close()

    def steps(self) -> list[int]:
        """The steps of what is saved, ascending; of a save that did not end nothing is here."""
        return [step for step in self._numbers() if not _is_unfinished(self._place(step))]

    def step(self) -> int | None:
        """The step of what was saved last, damaged or not; None if nothing is."""
        return max(self.steps(), default=None)

    def sound_step(self, say: Callable[[str], None]) -> int | None:
        """The newest step that is not damaged, in all processes that of the first.

        Args:
            say: is given a line about each newer one that is.
        """
        found = -1
        for step in reversed(self.steps() if main_process() else []):
            if self.is_sound(step):
                found = step
                break
            say(checksums.told(self._place(step), self._problems(step)))
        found = agree(found)
        return None if found < 0 else found

    def is_sound(self, step: int) -> bool:
        """Whether the tree of a step is there and is what was saved.

        Of what an older version saved, without checksums, only that it is there.
        """
        if step not in self._sound:
            self._sound[step] = step in self.steps() and not self._problems(step)
        return self._sound[step]

    def save(
        self, step: int, tree: Any, metadata: Mapping[str, Any], also: Collection[int] = ()
    ) -> None:
        """Saves a tree; what is kept no longer is removed when it is safely on the disk.

        A step that is saved already stays.

        Args:
            step: its number.
            tree: of arrays.
            metadata: in JSON's types.
            also: steps that are kept beside the newest.

        Raises:
            DiskError: the disk is full, read-only or failing; what was saved before stays.
        """
        if agree(int(main_process() and self.is_sound(step))):
            return
        with self._saving():
            self._write(step, tree, metadata)
            if main_process():
                checksums.write(self._place(step))
        self._sound[step] = True
        if main_process():
            self._remove_all_but({step, *also})

    def _write(self, step: int, tree: Any, metadata: Mapping[str, Any]) -> None:
        """Writes a step, and compares what is read back."""
        if main_process():
            self.folder.mkdir(parents=True, exist_ok=True)
            disk.clear(self.folder, TEMPORARY)
        arguments = ocp.args.Composite(
            **{
                TREE: ocp.args.StandardSave(tree),
                METADATA: ocp.args.JsonSave({**metadata, MARK: True}),
            }
        )
        # The arrays are donated to the next training step: nothing reads them when this returns.
        self._orbax.save(self._place(step), args=arguments, force=True)
        if main_process():
            disk.sync_all(self._place(step))
        found, _ = self._read(step, tree)
        if not all(map(_is_same, jax.tree.leaves(found), jax.tree.leaves(tree))):
            raise OSError(5, 'what is read back is not what was written', str(self._place(step)))

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Inside, what the disk refuses ends in one message that says what is safe."""
        before = self.step()
        safe = 'Nothing was saved before' if before is None else f'{self._place(before)} is whole'
        what = f'a checkpoint in {self.folder}'
        advice = 'make room, or mend the disk, and give the same command again to go on'
        try:
            with _without_logs(), disk.writing(what, f'{safe}: {advice}'):
                yield
        except disk.DiskError:
            if main_process():
                with contextlib.suppress(OSError):
                    disk.clear(self.folder, TEMPORARY)
            raise

    def _remove_all_but(self, steps: Collection[int]) -> None:
        """Removes what is neither of these steps nor among the newest, unfinished ones first."""
        whole = [step for step in self.steps() if self._sound.get(step, True)]
        kept = {*steps, *whole[-self._keep :]}
        for step in self._numbers():
            if step not in kept:
                with contextlib.suppress(OSError):
                    disk.remove(self._place(step))
                self._sound.pop(step, None)

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """What was saved, in the structure, types and shardings of `like`, and its metadata.

        Args:
            like: a tree of arrays, or of their shapes.
            step: of what is restored; None for what was saved last.

        Raises:
            UserError: nothing is there, it is damaged, or a tree of another structure or shapes.
        """
        step = self._checked(step)
        with self._reading(step):
            _compare(self._orbax.metadata(self._place(step)), like, self.folder)
            return self._read(step, like)

    def restore_any(self) -> Any:
        """What was saved last, as numpy arrays, whatever its structure; raises as `restore`."""
        step = self._checked(None)
        with self._reading(step):
            shapes = _saved_shapes(self._orbax.metadata(self._place(step)))
            like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes)
            return self._read(step, like)[0]

    def metadata(self) -> dict[str, Any]:
        """The metadata beside what was saved last; raises as `restore`."""
        step = self._checked(None)
        with self._reading(step):
            items = ocp.args.Composite(**{METADATA: ocp.args.JsonRestore()})
            return _unmarked(self._orbax.restore(self._place(step), args=items)[METADATA])

    def _checked(self, step: int | None) -> int:
        """A step that is saved and not damaged; UserError otherwise."""
        step = self.step() if step is None else step
        if step is None or step not in self.steps():
            raise UserError(f'{self.folder} holds no checkpoint')
        if not self.is_sound(step):
            raise UserError(
                f'{checksums.told(self._place(step), self._problems(step))}: bring it back from a '
                'copy, or give the command that made it again, which makes it again where it can'
            )
        return step

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Inside, whatever a reader of damaged files raises ends in one message."""
        try:
            with _without_logs():
                yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f'{self._place(step)} cannot be read ({disk.one_line(error)}): it is damaged, or '
                'not a checkpoint of point_ft_jax'
            ) from None

    def _read(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        arguments = ocp.args.Composite(
            **{TREE: ocp.args.StandardRestore(_abstract(like)), METADATA: ocp.args.JsonRestore()}
        )
        restored = self._orbax.restore(self._place(step), args=arguments)
        return restored[TREE], _unmarked(restored[METADATA])

    def _problems(self, step: int) -> list[str]:
        place = self._place(step)
        if checksums.exist(place):
            return checksums.problems(place)
        return [] if _kept_metadata(place) is not None else ['its metadata cannot be read']

    def _numbers(self) -> list[int]:
        """The steps of the folders that are here, whole or not."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if _is_number(p.name))

    def _place(self, step: int) -> pathlib.Path:
        return self.folder / str(step)


class InMemoryStore:
    """A `CheckpointStore` in the memory of the process, of what was saved last."""

    def __init__(self) -> None:
        self._saved: tuple[int, Any, dict[str, Any]] | None = None

    def __enter__(self) -> 'InMemoryStore':
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def steps(self) -> list[int]:
        """See `CheckpointStore.steps`."""
        return [self._saved[0]] if self._saved else []

    def sound_step(self, say: Callable[[str], None]) -> int | None:
        """See `CheckpointStore.sound_step`."""
        return self._saved and self._saved[0]

    def is_sound(self, step: int) -> bool:
        """See `CheckpointStore.is_sound`."""
        return step in self.steps()

    def save(
        self, step: int, tree: Any, metadata: Mapping[str, Any], also: Collection[int] = ()
    ) -> None:
        """See `CheckpointStore.save`."""
        if not self.is_sound(step):
            # A copy: the arrays are donated to the next training step.
            self._saved = step, jax.tree.map(jnp.copy, tree), dict(metadata)

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """See `CheckpointStore.restore`."""
        if self._saved is None:
            raise UserError('nothing is saved')
        return self._saved[1:]


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Inside, orbax logs nothing: what goes wrong in its threads it raises, too.

    After an error they say nothing more either: some end later than what they were writing.
    """
    before = absl.logging.get_verbosity()
    loggers = [logging.getLogger(name) for name in ('asyncio', 'concurrent.futures')]
    were = [logger.disabled for logger in loggers]
    absl.logging.set_verbosity(absl.logging.FATAL)
    for logger in loggers:
        logger.disabled = True
    try:
        yield
        for logger, was in zip(loggers, were, strict=True):
            logger.disabled = was
    finally:
        absl.logging.set_verbosity(before)


def is_store(folder: pathlib.Path) -> bool:
    """Whether a `CheckpointStore` has saved something in `folder`."""
    return any(folder.glob(f'*/{TREE}'))


def save_tree(folder: str | os.PathLike, tree: Any, metadata: Mapping[str, Any]) -> None:
    """Saves a tree and its metadata into `folder`; what is saved there already is replaced."""
    with CheckpointStore(folder) as store:
        newest = store.step()
        store.save(0 if newest is None else newest + 1, tree, metadata)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name == str(int(name))


def _is_unfinished(place: pathlib.Path) -> bool:
    """Whether a save ended before its checksums were written; older versions wrote none."""
    return not checksums.exist(place) and MARK in (_kept_metadata(place) or {})


def _kept_metadata(place: pathlib.Path) -> dict[str, Any] | None:
    """The metadata in the folder of a step; None for what is no mapping of JSON."""
    try:
        found = json.loads((place / METADATA / 'metadata').read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unmarked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != MARK}


def _is_same(found: Any, expected: Any) -> bool:
    """Whether two arrays, each the same on every device, have the same bits."""
    a, b = (
        np.asarray(x.addressable_data(0) if hasattr(x, 'addressable_data') else x)
        for x in (found, expected)
    )
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _abstract(tree: Any) -> Any:
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=getattr(a, 'sharding', None)),
        tree,
    )


def _saved_shapes(metadata: Any) -> Any:
    saved = metadata.item_metadata[TREE]
    return saved.tree if hasattr(saved, 'tree') else saved


def _compare(metadata: Any, like: Any, folder: pathlib.Path) -> None:
    """Raises UserError unless the saved tree has the leaves and shapes of `like`.

    Orbax would say so too, over pages.
    """

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {_plain(path): tuple(leaf.shape) for path, leaf in leaves}

    found, expected = shapes(_saved_shapes(metadata)), shapes(like)
    wrong = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    if wrong:
        some = ', '.join(f'{k}: saved {found.get(k)}, here {expected.get(k)}' for k in wrong[:4])
        raise UserError(
            f'{folder} was saved by a run of another model or method, or by another version of '
            f'point_ft_jax ({len(wrong)} leaves differ: {some}); use the config of that run, or '
            'another folder'
        )


def _plain(path: tuple) -> str:
    """A path by its bare names: attributes, keys and positions come back from disk as keys."""
    return '/'.join(str(getattr(k, 'key', getattr(k, 'name', getattr(k, 'idx', k)))) for k in path)
