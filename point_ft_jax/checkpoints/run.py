"""A fitted model on disk, and back: what evaluation, prediction and export read.

A run's folder holds one folder a seed, and that
    facts.json   the config, the class names, the points the model takes, the scale of its data
    frozen/      the half of the parameters that did not train
    best/        the half that did and the statistics, of the chosen epoch
    last/        the same of the last checkpoint, with the optimizer's state, to go on from
    delta/       what the run ended with, see `delta`: to be carried to any copy of the backbone
Members of one population share frozen/, a folder up, and best/ and last/, in population/ there.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np

from point_ft_jax.checkpoints import delta, shipped, torch_file
from point_ft_jax.checkpoints.store import Latest, is_store
from point_ft_jax.core import trees
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import write_json
from point_ft_jax.experiments.build import from_facts
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.model import Model

FACTS, FROZEN, DELTA = 'facts.json', 'frozen', 'delta'


@dataclasses.dataclass(frozen=True)
class Saved:
    """A model read from a run's folder.

    Attributes:
        model: as it was built; of a pre-training run an autoencoder.
        variables: 'params' and 'batch_stats' of the chosen epoch.
        facts: what `save_start` was given.
    """

    model: Model | Autoencoder
    variables: dict[str, trees.Tree]
    facts: dict[str, Any]


def save_start(folder: pathlib.Path, facts: dict[str, Any], frozen: trees.Tree) -> None:
    """Writes what does not change while a model trains, once."""
    save_frozen(folder, frozen)
    save_facts(folder, facts)


def save_frozen(folder: pathlib.Path, frozen: trees.Tree) -> None:
    """Writes the half of the parameters that does not train, once."""
    with Latest(folder / FROZEN) as store:
        if store.step() is None and trees.flatten(frozen):
            store.save(0, _on_the_host(trees.prune(frozen)), {})


def save_facts(folder: pathlib.Path, facts: dict[str, Any]) -> None:
    """Writes what a reader has to know of a run."""
    if main_process():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FACTS, facts)


def _on_the_host(tree: trees.Tree) -> trees.Tree:
    """What all processes hold alike; arrays on one's own device can't be saved by several."""
    return jax.tree.map(np.asarray, tree)


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """The seed's folder that `folder` is or has, or the delta's that it is.

    Raises:
        UserError: there is none, or several to choose from.
    """
    folder = pathlib.Path(folder).expanduser()
    if (folder / FACTS).exists() or is_store(folder):
        return folder
    found = sorted(path.parent for path in folder.glob(f'seed_*/{FACTS}'))
    if not found:
        raise UserError(f'{folder} is no folder of a run: it has no {FACTS}, nor seed_*/{FACTS}')
    if len(found) > 1:
        raise UserError(f'{folder} has several seeds; name one: {", ".join(map(str, found))}')
    return found[0]


def load(
    folder: str | pathlib.Path, backbone: str | None = None, job: str | None = 'finetune'
) -> Saved:
    """The model of the chosen epoch so far.

    Args:
        folder: of a run, of one of its seeds, or of a delta that was carried away from one.
        backbone: a .pth file or a run to take the backbone from, in place of the run's own copy.
        job: what the run must have done; None for anything.

    Raises:
        UserError: no run, one of another job, one without a chosen epoch yet, a delta without a
            backbone, or a backbone that is not the one that it was trained over.
    """
    folder = find(folder)
    if backbone is None and not (folder / FACTS).exists():
        raise UserError(f'{folder} is a delta: say with --backbone=FILE what it belongs to')
    if backbone is not None:
        return _over(read_delta(folder), backbone)
    facts = json.loads((folder / FACTS).read_text())
    if job not in (None, done := facts['config'].get('job', 'finetune')):
        raise UserError(
            f'{folder} is a run of the job {done!r}; expected {job!r}. To fine-tune what it has '
            f'pre-trained: --config.init.checkpoint={folder}'
        )
    frozen = _read_frozen(folder)
    if (folder / DELTA).exists():
        own = delta.read(folder / DELTA)
        variables = delta.apply(own, trees.unflatten(frozen).get('backbone', {}), str(folder))
        return Saved(own.model, variables, facts)
    model = from_facts(facts)
    shapes = model.shapes()
    chosen = trees.select(shapes['params'], model.trainable)
    moving, rest = trees.partition(shapes['params'], chosen)
    with Latest(folder / 'best') as best:
        if best.step() is None:
            raise UserError(f'{folder} has no evaluated epoch yet: let the run go on first')
        (moving, statistics), _ = best.restore((moving, shapes['batch_stats']))
    rest = trees.map_paths(lambda path, _: frozen[path], rest)
    return Saved(model, {'params': trees.combine(moving, rest), 'batch_stats': statistics}, facts)


def read_delta(folder: str | pathlib.Path) -> delta.Delta:
    """The delta of a finished run, or the one in a folder by itself.

    Raises:
        UserError: there is none.
    """
    folder = find(folder)
    return delta.read(folder / DELTA if (folder / FACTS).exists() else folder)


def _over(own: delta.Delta, backbone: str) -> Saved:
    """The model of a delta and a backbone from elsewhere."""
    if pathlib.Path(backbone).expanduser().is_dir():
        tree = load(backbone, job=None).variables['params']['backbone']
    else:
        state, _ = torch_file.state_dict(shipped.locate(backbone))
        tree = own.model.load_backbone(own.model.shapes(), state, backbone)[0]['params']['backbone']
    return Saved(own.model, delta.apply(own, tree, backbone), own.facts)


def _read_frozen(folder: pathlib.Path) -> dict[str, Any]:
    """The leaves that did not train, by path; members of one run share them, a folder up."""
    for place in (folder / FROZEN, folder.parent / FROZEN):
        if place.exists():
            with Latest(place) as store:
                return trees.flatten(store.restore_any()) if store.step() is not None else {}
    return {}
