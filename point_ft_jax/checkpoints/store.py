"""Trees on disk, through orbax: saved whole or not at all.

A save goes to a temporary folder that is renamed when all is written, so that a kill at any moment
leaves the previous one. Several processes save and restore together; topologies may differ.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from point_ft_jax.core.errors import UserError

TREE, METADATA = 'tree', 'meta'


class CheckpointStore:
    """A folder that holds the newest of a series of trees, with metadata beside it.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = pathlib.Path(folder).absolute()
        handlers = {TREE: ocp.StandardCheckpointHandler(), METADATA: ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(
            self.folder,
            item_handlers=handlers,
            options=ocp.CheckpointManagerOptions(max_to_keep=1, create=True),
        )

    def __enter__(self) -> 'CheckpointStore':
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def step(self) -> int | None:
        """The step of what is saved; None if nothing is."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, metadata: Mapping[str, Any]) -> None:
        """Replaces what is saved; a step that is saved already stays."""
        if step == self.step():
            return
        items = ocp.args.Composite(
            **{TREE: ocp.args.StandardSave(tree), METADATA: ocp.args.JsonSave(dict(metadata))}
        )
        self._manager.save(step, args=items, force=True)
        # The arrays are donated to the next training step: nothing may still read them then.
        self._manager.wait_until_finished()

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """What was saved, in the structure, types and shardings of `like`, and its metadata.

        Raises:
            UserError: nothing is there, or a tree of another structure or of other shapes.
        """
        items = ocp.args.Composite(
            **{TREE: ocp.args.StandardRestore(_abstract(like)), METADATA: ocp.args.JsonRestore()}
        )
        if self.step() is None:
            raise UserError(f'{self.folder} holds no checkpoint')
        _compare(self._manager.item_metadata(self.step())[TREE], like, self.folder)
        restored = self._manager.restore(self.step(), args=items)
        return restored[TREE], restored[METADATA]

    def restore_any(self) -> Any:
        """What was saved, as numpy arrays, whatever its structure."""
        like = self._manager.item_metadata(self.step())[TREE]
        like = like.tree if hasattr(like, 'tree') else like
        like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        items = ocp.args.Composite(**{TREE: ocp.args.StandardRestore(like)})
        return self._manager.restore(self.step(), args=items)[TREE]

    def metadata(self) -> dict[str, Any]:
        """The metadata beside what is saved."""
        items = ocp.args.Composite(**{METADATA: ocp.args.JsonRestore()})
        return self._manager.restore(self.step(), args=items)[METADATA]


class InMemoryStore:
    """A `CheckpointStore` in the memory of the process."""

    def __init__(self) -> None:
        self._saved: tuple[int, Any, dict[str, Any]] | None = None

    def __enter__(self) -> 'InMemoryStore':
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self) -> int | None:
        """See `CheckpointStore.step`."""
        return self._saved and self._saved[0]

    def save(self, step: int, tree: Any, metadata: Mapping[str, Any]) -> None:
        """See `CheckpointStore.save`."""
        if step != self.step():
            # A copy: the arrays are donated to the next training step.
            self._saved = step, jax.tree.map(jnp.copy, tree), dict(metadata)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """See `CheckpointStore.restore`."""
        if self._saved is None:
            raise UserError('nothing is saved')
        return self._saved[1:]


def is_store(folder: pathlib.Path) -> bool:
    """Whether a `CheckpointStore` has saved something in `folder`."""
    return any(folder.glob(f'*/{TREE}'))


def save_tree(folder: str | os.PathLike, tree: Any, metadata: Mapping[str, Any]) -> None:
    """Saves a tree and its metadata into `folder`; what is saved there already is replaced."""
    with CheckpointStore(folder) as store:
        store.save((store.step() or 0) + 1, tree, metadata)


def _abstract(tree: Any) -> Any:
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=getattr(a, 'sharding', None)),
        tree,
    )


def _compare(saved: Any, like: Any, folder: pathlib.Path) -> None:
    """Raises UserError unless the saved tree has the leaves and shapes of `like`.

    Orbax would say so too, over pages.
    """

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {_plain(path): tuple(leaf.shape) for path, leaf in leaves}

    found, expected = shapes(saved.tree if hasattr(saved, 'tree') else saved), shapes(like)
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
