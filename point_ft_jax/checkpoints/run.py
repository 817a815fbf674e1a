"""A fitted model on disk, and back: what evaluation, prediction and export read.

A run's folder holds one folder a seed, and that
    spec.json    what model it is, see `models.spec`
    facts.json   the class names, the points the model takes, the scale of its data, the config
    frozen/      the half of the parameters that did not train
    best/        the half that did and the statistics, of the chosen epoch
    last/        the same of the last checkpoints, with the optimizer's state, to go on from
    delta/       what the run ended with, see `delta`: to be carried to any copy of the backbone;
                 it has a spec.json of its own
Members of one population share frozen/, a folder up, and best/ and last/, in population/ there.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from point_ft_jax.checkpoints import _old_runs, delta, delta_folder, shipped, spec_file, weights
from point_ft_jax.checkpoints.store import CheckpointStore, is_store
from point_ft_jax.core import json_files, trees
from point_ft_jax.core.devices import main_process, say
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import AutoencoderSpec
from point_ft_jax.models.spec import Spec
from point_ft_jax.models.tuned import TunedModel

FACTS, FROZEN, DELTA = 'facts.json', 'frozen', 'delta'


def save_start(
    folder: pathlib.Path, spec: Spec, metadata: Mapping[str, Any], frozen: trees.Tree
) -> None:
    """Writes what does not change while a model trains, once."""
    save_frozen(folder, frozen)
    save_metadata(folder, spec, metadata)


def save_frozen(folder: pathlib.Path, frozen: trees.Tree) -> None:
    """Writes the half of the parameters that does not train, once.

    Raises:
        UserError: it is not finite.
    """
    trees.check_finite(frozen, 'the frozen half')
    with CheckpointStore(folder / FROZEN) as store:
        newest = store.step()
        if store.sound_step(_again) is None and trees.flatten(frozen):
            step = 0 if newest is None else newest + 1
            store.save(step, _on_the_host(trees.prune(frozen)), {})


def _again(problem: str) -> None:
    say(f'{problem}; it is made again')


def save_metadata(folder: pathlib.Path, spec: Spec, metadata: Mapping[str, Any]) -> None:
    """Writes what model a folder is of, and what a prediction on other data is compared with."""
    spec_file.write(folder, spec)
    if main_process():
        write_json(folder / FACTS, metadata)


def _on_the_host(tree: trees.Tree) -> trees.Tree:
    """What all processes hold alike; arrays on one's own device can't be saved by several."""
    return jax.tree.map(np.asarray, tree)


def save(tuned: TunedModel, folder: str | os.PathLike) -> None:
    """Writes a tuned model: spec.json, facts.json, the delta, and the frozen half once.

    The folder is read back by `load_run`, and by every command that takes a run. Its delta alone,
    in delta/, can be carried to any copy of the backbone.

    Args:
        tuned: the model.
        folder: where to; made if it is not there.

    Raises:
        UserError: the folder holds another model, or cannot be written, or weights are not finite.

    Examples:
        >>> import tempfile
        >>> from point_ft_jax import TunedModel, create_model, load_run, save
        >>> import jax
        >>> model = create_model('recon', 2, variant='tiny', method='linear_probe')
        >>> facts = {'classes': ['chair', 'table'], 'points': 1024}
        >>> folder = tempfile.mkdtemp() + '/probe'
        >>> save(TunedModel(model, model.init(jax.random.key(0)), facts), folder)
        >>> load_run(folder).classes
        ('chair', 'table')
    """
    trees.check_finite(tuned.variables, 'the model')
    folder = check_new(folder)
    trainable = trees.select(tuned.variables['params'], tuned.model.trainable)
    metadata = json_files.plain(
        {**tuned.metadata, 'history': list(tuned.history), 'scores': tuned.scores}
    )
    metadata.pop(delta.FINGERPRINT, None)  # of the folder that it was read from
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frozen = trees.partition(tuned.variables['params'], trainable)[1]
        save_start(folder, tuned.model.spec, metadata, frozen)
        delta.save(folder / DELTA, tuned.model.spec, tuned.variables, trainable, metadata)
    except OSError as error:
        raise UserError(f'{folder} cannot be written ({error}); give another folder') from None


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """The seed's folder that `folder` is or has, or the delta's that it is.

    Raises:
        UserError: there is none, or several to choose from.
    """
    folder = pathlib.Path(folder).expanduser()
    if (folder / FACTS).exists() or is_store(folder) or delta_folder.is_one(folder):
        return folder
    found = sorted(path.parent for path in folder.glob(f'seed_*/{FACTS}'))
    if not found:
        raise UserError(f'{folder} is no folder of a run: it has no {FACTS}, nor seed_*/{FACTS}')
    if len(found) > 1:
        raise UserError(f'{folder} has several seeds; name one: {", ".join(map(str, found))}')
    return found[0]


def load_run(
    folder: str | pathlib.Path,
    backbone: str | None = None,
    *,
    pretrained: bool = False,
    key: str | None = None,
    prefix: str = '',
) -> TunedModel:
    """The tuned model of a run, at the best epoch so far.

    Args:
        folder: of a run, of one of its seeds, or of a delta that was carried away from one.
        backbone: a .pth file or a run to take the backbone from, in place of the run's own copy.
        pretrained: whether the autoencoder of a pre-training run will do, too.
        key: the entry of a .pth file of `backbone` that holds the weights, where it is not found.
        prefix: what the names of the weights in that file begin with.

    Raises:
        UserError: no run, one of pre-training, one without a chosen epoch yet, a delta without a
            backbone, or a backbone that is not the one that it was trained over.

    Examples:
        >>> import tempfile
        >>> from point_ft_jax import finetune, load_dataset, load_run, save
        >>> train = load_dataset('shapes', num_points=64, train_size=30, test_size=15)['train']
        >>> tuned = finetune(
        ...     train, task='classification', method='linear_probe', epochs=1, batch_size=15,
        ...     geometry={'num_groups': 8, 'depth': 1}, progress=False,
        ... )
        >>> folder = tempfile.mkdtemp() + '/probe'
        >>> save(tuned, folder)
        >>> again = load_run(folder)
        >>> again.classes == tuned.classes, again.model.spec == tuned.model.spec
        (True, True)
    """
    folder = find(folder)
    if backbone is None and not (folder / FACTS).exists():
        raise UserError(f'{folder} is a delta: say with --backbone=FILE what it belongs to')
    if backbone is not None:
        return _over(read_delta(folder), backbone, key, prefix)
    metadata = _read_metadata(folder)
    if not pretrained and isinstance(spec_file.read(folder, metadata), AutoencoderSpec):
        raise UserError(
            f"{folder} is a run of the job 'pretrain'; expected 'finetune'. To fine-tune what it "
            f'has pre-trained: --config.init.checkpoint={folder}'
        )
    frozen = _read_frozen(folder)
    if delta.exists(folder / DELTA):
        own = delta.read(folder / DELTA)
        variables = delta.attach_delta(
            own, trees.unflatten(frozen).get('backbone', {}), str(folder)
        )
        return _tuned(own.model, variables, metadata)
    model = spec_file.rebuild(folder, metadata)
    shapes = model.shapes()
    chosen = trees.select(shapes['params'], model.trainable)
    moving, rest = trees.partition(shapes['params'], chosen)
    with CheckpointStore(folder / 'best') as best:
        if best.step() is None:
            raise UserError(f'{folder} has no evaluated epoch yet: let the run go on first')
        (moving, statistics), _ = best.restore((moving, shapes['batch_stats']))
    rest = trees.map_paths(lambda path, _: frozen[path], rest)
    variables = {'params': trees.combine(moving, rest), 'batch_stats': statistics}
    return _tuned(model, variables, metadata)


def facts(folder: str | pathlib.Path) -> tuple[Spec, dict[str, Any]]:
    """What model a run or a delta is of, and what else is known of it, without a run's weights.

    Raises:
        UserError: no run, or one whose facts cannot be read.
    """
    folder = find(folder)
    if (folder / FACTS).exists():
        metadata = _read_metadata(folder)
        return spec_file.read(folder, metadata), metadata
    own = read_delta(folder)
    return own.model.spec, own.metadata


def check_new(folder: str | os.PathLike) -> pathlib.Path:
    """A folder that is not there yet, or empty.

    Raises:
        UserError: there is something in it.
    """
    folder = pathlib.Path(folder).expanduser()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f'{folder} is not empty; give a new folder, or remove it first')
    return folder


def read_delta(folder: str | pathlib.Path) -> delta.Delta:
    """The delta of a finished run, or the one in a folder by itself.

    Raises:
        UserError: there is none.
    """
    folder = find(folder)
    if delta_folder.is_one(folder):
        return delta_folder.read(folder)
    return delta.read(folder / DELTA if (folder / FACTS).exists() else folder)


def _over(own: delta.Delta, backbone: str, key: str | None, prefix: str) -> TunedModel:
    """The model of a delta and a backbone from elsewhere."""
    if pathlib.Path(backbone).expanduser().is_dir():
        tree = load_run(backbone, pretrained=True).variables['params']['backbone']
    else:
        state = weights.read(shipped.locate(backbone), key, prefix).state
        tree = own.model.load_backbone(own.model.shapes(), state, backbone)[0]['params']['backbone']
    return _tuned(own.model, delta.attach_delta(own, tree, backbone), own.metadata)


def _tuned(model: Any, variables: Variables, metadata: Mapping[str, Any]) -> TunedModel:
    history, scores = metadata.get('history', ()), metadata.get('scores', {})
    return TunedModel(model, variables, metadata, history, scores)


def _read_metadata(folder: pathlib.Path) -> dict[str, Any]:
    """What facts.json holds; UserError where that is no mapping."""
    metadata = read_json(folder / FACTS)
    if not isinstance(metadata, dict):
        raise UserError(f'{folder / FACTS} holds a {type(metadata).__name__}; expected a mapping')
    return _old_runs.completed(metadata)


def _read_frozen(folder: pathlib.Path) -> dict[str, Any]:
    """The leaves that did not train, by path; members of one run share them, a folder up."""
    for place in (folder / FROZEN, folder.parent / FROZEN):
        if place.exists():
            with CheckpointStore(place) as store:
                return trees.flatten(store.restore_any()) if store.step() is not None else {}
    return {}
