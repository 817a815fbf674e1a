"""A fitted model on disk, and back: what evaluation, prediction and export read.

A run's folder holds one folder a seed, and that
    facts.json   the config, the class names, the points the model takes, the scale of its data
    frozen/      the half of the parameters that did not train
    best/        the half that did and the statistics, of the chosen epoch
    last/        the same of the last checkpoint, with the optimizer's state, to go on from
    delta/       as best/, in one piece with the facts and the fingerprint of the frozen half, to be
                 carried to any copy of the backbone
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from point_ft_jax import params
from point_ft_jax.builder import from_facts
from point_ft_jax.checkpoint import Latest, save_tree, write_json
from point_ft_jax.errors import UserError
from point_ft_jax.model import Model
from point_ft_jax.pretrain.model import Autoencoder

FACTS = 'facts.json'


@dataclasses.dataclass(frozen=True)
class Saved:
    """A model read from a run's folder.

    Attributes:
        model: as it was built; of a pre-training run an autoencoder.
        variables: 'params' and 'batch_stats' of the chosen epoch.
        facts: what `save_start` was given.
    """

    model: Model | Autoencoder
    variables: dict[str, params.Tree]
    facts: dict[str, Any]


def fingerprint(tree: params.Tree) -> str:
    """A hash of a tree's paths, shapes, types and bytes: equal for equal backbones only."""
    digest = hashlib.sha256()
    for path, leaf in params.flatten(tree).items():
        array = np.asarray(leaf)
        digest.update(f'{path} {array.shape} {array.dtype}'.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_start(folder: pathlib.Path, facts: dict[str, Any], frozen: params.Tree) -> None:
    """Writes what does not change while a model trains, once."""
    with Latest(folder / 'frozen') as store:
        if store.step() is None and params.flatten(frozen):
            store.save(0, params.prune(frozen), {})
    write_json(folder / FACTS, facts)


def save_delta(
    folder: pathlib.Path,
    variables: dict[str, params.Tree],
    trainable: params.Tree,
    facts: dict[str, Any],
) -> int:
    """Writes what trained and the statistics, with the fingerprint of the rest; gives the bytes."""
    moving, frozen = params.partition(variables['params'], trainable)
    delta = {'params': params.prune(moving), 'batch_stats': variables['batch_stats']}
    save_tree(folder / 'delta', delta, {**facts, 'fingerprint': fingerprint(frozen)})
    return params.size_bytes(delta)


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """The seed's folder that `folder` is or has.

    Raises:
        UserError: there is none, or several to choose from.
    """
    folder = pathlib.Path(folder).expanduser()
    if (folder / FACTS).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f'seed_*/{FACTS}'))
    if not found:
        raise UserError(f'{folder} is no folder of a run: it has no {FACTS}, nor seed_*/{FACTS}')
    if len(found) > 1:
        raise UserError(f'{folder} has several seeds; name one: {", ".join(map(str, found))}')
    return found[0]


def load(folder: str | pathlib.Path, job: str | None = 'finetune') -> Saved:
    """The model of the chosen epoch so far.

    Args:
        folder: of a run or of one of its seeds.
        job: what the run must have done; None for anything.

    Raises:
        UserError: no run, one of another job, or one without a chosen epoch yet.
    """
    folder = find(folder)
    facts = json.loads((folder / FACTS).read_text())
    if job not in (None, done := facts['config'].get('job', 'finetune')):
        raise UserError(
            f'{folder} is a run of the job {done!r}; expected {job!r}. To fine-tune what it has '
            f'pre-trained: --config.init.checkpoint={folder}'
        )
    model = from_facts(facts)
    shapes = model.shapes()
    chosen = params.select(shapes['params'], model.trainable)
    moving, frozen = params.partition(shapes['params'], chosen)
    with Latest(folder / 'best') as best, Latest(folder / 'frozen') as rest:
        if best.step() is None:
            raise UserError(f'{folder} has no evaluated epoch yet: let the run go on first')
        (moving, statistics), _ = best.restore((moving, shapes['batch_stats']))
        if params.flatten(frozen):
            pruned, _ = rest.restore(params.prune(frozen))
            values = params.flatten(pruned)
            frozen = params.map_paths(lambda path, _: values[path], frozen)
    variables = {'params': params.combine(moving, frozen), 'batch_stats': statistics}
    return Saved(model, variables, facts)
