"""A delta as a folder to give away: a model card, and files that any program reads.

    README.md           the model card, see `model_card`
    spec.json           what model it is of
    delta.json          what is known of its run, the fingerprint of the backbone it belongs to, and
                        the checksum of the arrays
    delta.safetensors   the arrays, by their paths in the tree

`point-ft export RUN FOLDER --format=delta` writes one; whatever takes a delta's folder reads it.
"""

import os
import pathlib

import numpy as np

from point_ft_jax.checkpoints import delta, model_card, safetensors_file, spec_file
from point_ft_jax.core import disk, json_files, trees
from point_ft_jax.core.errors import UserError, raise_all, some

ARRAYS, FACTS = 'delta.safetensors', 'delta.json'
DIGEST = 'arrays'  # among the facts


def is_one(folder: pathlib.Path) -> bool:
    """Whether such a folder is there."""
    return (folder / ARRAYS).is_file()


def write(
    folder: str | os.PathLike, own: delta.Delta, licence: str = '', command: str = ''
) -> list[str]:
    """Writes a delta into a new or empty folder; gives the names of its files.

    Args:
        folder: where to.
        own: the delta.
        licence, command: see `model_card.write`.

    Raises:
        UserError: the folder holds something, the safetensors package is missing, or the folder
            is not writable.
    """
    folder = pathlib.Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{folder} is not empty; give a new folder, or remove it first')
    tree = {'params': own.params, 'batch_stats': own.batch_stats}
    arrays = {path: np.asarray(leaf) for path, leaf in trees.flatten(tree).items()}
    metadata = json_files.plain(own.metadata)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        safetensors_file.write(folder / ARRAYS, arrays, {})
        spec_file.write(folder, own.model.spec)
        digest = disk.digest(folder / ARRAYS)
        json_files.write_json(folder / FACTS, {**metadata, DIGEST: digest})
        card = model_card.write(own.model.spec, metadata, licence, command)
        (folder / 'README.md').write_text(card, encoding='utf-8')
    except OSError as error:
        raise UserError(f'{folder} cannot be written ({error}); give another folder') from None
    return sorted(path.name for path in folder.iterdir())


def read(folder: pathlib.Path) -> delta.Delta:
    """The delta in a folder that `write` made.

    Raises:
        UserError: a file is missing, damaged, or does not fit the others.
    """
    metadata = json_files.read_json(folder / FACTS)
    if not isinstance(metadata, dict) or delta.FINGERPRINT not in metadata:
        raise UserError(f'{folder / FACTS} lacks the fingerprint of the backbone: get it again')
    digest = metadata.pop(DIGEST, None)  # older versions wrote none
    model = spec_file.rebuild(folder, metadata)
    expected = trees.flatten(delta.shapes(model))
    arrays, _ = safetensors_file.read(folder / ARRAYS)
    raise_all(
        [
            f'{path}: {_form(arrays.get(path))}; expected {_form(expected.get(path))}'
            for path in sorted({*arrays, *expected})
            if _form(arrays.get(path)) != _form(expected.get(path))
        ],
        f'{folder / ARRAYS} does not fit {folder / spec_file.NAME}:',
    )
    if digest is not None and disk.digest(folder / ARRAYS) != digest:
        raise UserError(
            f'{folder / ARRAYS} is not what was written with {FACTS}: it was damaged, or is of '
            'another delta; get the folder again'
        )
    if paths := trees.nonfinite(arrays):
        raise UserError(f'{folder / ARRAYS} has NaN or infinities in {some(paths, 3)}')
    tree = trees.unflatten(arrays)
    statistics = tree.get('batch_stats', {})
    return delta.Delta(model, tree['params'], statistics, metadata, str(folder))


def _form(leaf: object) -> str:
    """The shape and type of a leaf; 'none' without one."""
    return f'{tuple(leaf.shape)} {np.dtype(leaf.dtype).name}' if leaf is not None else 'none'
