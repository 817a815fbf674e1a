"""What tuning adds to a backbone, by itself: tuner, head, statistics, and what trained of the
backbone. It fits every copy of the backbone that it was trained over, and no other.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from point_ft_jax.checkpoints import _old_runs, spec_file
from point_ft_jax.checkpoints.store import CheckpointStore, save_tree
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import Model, ModelSpec

FINGERPRINT = 'fingerprint'


@dataclasses.dataclass(frozen=True)
class Delta:
    """A delta read from disk.

    Attributes:
        model: that it is part of.
        params, batch_stats: the leaves that it has.
        metadata: of the run, and the 'fingerprint' of the frozen half of its backbone.
        source: the folder.
    """

    model: Model
    params: trees.Tree
    batch_stats: trees.Tree
    metadata: dict[str, Any]
    source: str


def fingerprint(tree: trees.Tree) -> str:
    """A hash of a tree's paths, shapes, types and bytes: equal for equal trees only."""
    digest = hashlib.sha256()
    for path, leaf in trees.flatten(tree).items():
        array = np.asarray(leaf)
        digest.update(f'{path} {array.shape} {array.dtype}'.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save(
    folder: pathlib.Path,
    spec: ModelSpec,
    variables: Variables,
    trainable: trees.Tree,
    metadata: Mapping[str, Any],
) -> int:
    """Writes the delta of `variables` into `folder`; gives its bytes.

    Args:
        folder: where to; what is there is replaced.
        spec: of the model.
        variables: of the tuned model.
        trainable: what of its parameters trained, a tree of bools.
        metadata: of the run, in JSON's types.

    Raises:
        UserError: weights that are not finite.
    """
    kept, frozen = trees.partition(variables['params'], _kept(trainable))
    tree = {'params': trees.prune(kept), 'batch_stats': variables['batch_stats']}
    trees.check_finite(tree, 'the delta')
    spec_file.write(folder, spec)
    save_tree(folder, tree, {**metadata, FINGERPRINT: fingerprint(frozen)})
    return trees.size_bytes(tree)


def exists(folder: pathlib.Path) -> bool:
    """Whether a delta was written into `folder` to its end."""
    with CheckpointStore(folder) as latest:
        return latest.step() is not None


def read(folder: pathlib.Path) -> Delta:
    """The delta in `folder`.

    Raises:
        UserError: there is none, or one whose model cannot be built.
    """
    if not folder.is_dir():
        raise UserError(f'{folder} is no folder of a delta: a run has one when it has ended')
    with CheckpointStore(folder) as latest:
        if latest.step() is None:
            raise UserError(f'{folder} holds no delta')
        metadata = latest.metadata()
        if FINGERPRINT not in metadata:
            raise UserError(f'{folder} holds a checkpoint that is no delta')
        model = spec_file.rebuild(folder, metadata)
        tree, _ = latest.restore(shapes(model))
    params, statistics = tree['params'], tree['batch_stats']
    return Delta(model, params, statistics, _old_runs.completed(metadata), str(folder))


def shapes(model: Model) -> dict[str, trees.Tree]:
    """What a delta of `model` holds, as shapes: 'params' and 'batch_stats'."""
    whole = model.shapes()
    kept, _ = trees.partition(
        whole['params'], _kept(trees.select(whole['params'], model.trainable))
    )
    return {'params': trees.prune(kept), 'batch_stats': whole['batch_stats']}


def attach_delta(delta: Delta, backbone: trees.Tree, source: str) -> Variables:
    """The variables of the tuned model, from its delta and a backbone's parameters.

    Args:
        delta: see `read`.
        backbone: the backbone's tree; leaves that the delta has are not looked at.
        source: where the backbone came from, for the message.

    Raises:
        UserError: the backbone is not the one that the delta was trained over.
    """
    own = trees.flatten(delta.params)
    values = trees.flatten({'backbone': backbone})
    shapes = delta.model.shapes()['params']
    rest = {path: values.get(path) for path in trees.flatten(shapes) if path not in own}
    found = {
        path: leaf for path, leaf in rest.items() if not isinstance(leaf, jax.ShapeDtypeStruct)
    }
    missing = [path for path in rest if found.get(path) is None]
    if missing or fingerprint(trees.unflatten(found)) != delta.metadata[FINGERPRINT]:
        lacks = f'; it lacks {", ".join(missing[:4])}' if missing else ''
        start = delta.metadata['checkpoint']
        raise UserError(
            f'{source} is not the backbone that {delta.source} was trained over (their '
            f'fingerprints differ{lacks}): give a copy of the one that its run started from'
            + (f', {start}' if start else '')
        )
    leaves = {**own, **found}
    tree = trees.map_paths(lambda path, _: leaves[path], shapes)
    return {'params': tree, 'batch_stats': delta.batch_stats}


def stack(
    deltas: Sequence[Delta],
) -> tuple[Variables, tuple[str, ...]]:
    """Several deltas of one model as one, for `inference.all_in_batches`.

    Returns:
        The stacked delta, {'params' (a tree with holes where the backbone is frozen),
        'batch_stats'}, and the parts of the statistics that all of them share.

    Raises:
        UserError: they are of different models, or over different backbones.
    """
    first = deltas[0]
    wrong = [
        f'{other.source} is {what}'
        for other in deltas[1:]
        for what, differs in (
            ('of another model', other.model.module != first.model.module),
            ('over another backbone', other.metadata[FINGERPRINT] != first.metadata[FINGERPRINT]),
        )
        if differs
    ]
    if wrong:
        raise UserError(
            f'beside {first.source}: {"; ".join(wrong)}: one call takes runs of one method and '
            'size over one backbone; evaluate the others by themselves, or set the results side by '
            'side with point-ft compare'
        )
    shapes = first.model.shapes()['params']

    def whole(delta: Delta) -> trees.Tree:
        leaves = trees.flatten(delta.params)
        return trees.map_paths(lambda path, _: leaves.get(path), shapes)

    statistics = [delta.batch_stats for delta in deltas]
    shared = tuple(
        part for part in statistics[0] if len({fingerprint(tree[part]) for tree in statistics}) == 1
    )
    tree = {
        'params': trees.stack([whole(delta) for delta in deltas]),
        'batch_stats': trees.stack(statistics, shared),
    }
    return tree, shared


def _kept(trainable: trees.Tree) -> trees.Tree:
    """What a delta holds: all outside the backbone, and what trained of it."""
    return trees.map_paths(lambda path, yes: yes or not path.startswith('backbone/'), trainable)
