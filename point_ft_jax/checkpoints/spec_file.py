"""spec.json: what model the weights in a folder are of."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from point_ft_jax.checkpoints import _old_runs
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.models import Model, build
from point_ft_jax.models.spec import Spec, from_json

if TYPE_CHECKING:
    from point_ft_jax.models.autoencoders.build import Autoencoder

NAME = 'spec.json'


def write(folder: pathlib.Path, spec: Spec) -> None:
    """Writes the spec into `folder`, which is made where it is not there yet."""
    if main_process():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / NAME, spec.to_json())


def read(folder: pathlib.Path, metadata: Mapping[str, Any]) -> Spec:
    """The spec of the model in `folder`.

    Args:
        folder: of a seed, or of a delta.
        metadata: what else is kept there; it says what model it is where an older version wrote it.

    Raises:
        UserError: there is none, or none that can be read.
    """
    path = folder / NAME
    if path.exists():
        return from_json(read_json(path), str(path))
    return _old_runs.spec(folder, metadata)


def rebuild(folder: pathlib.Path, metadata: Mapping[str, Any]) -> 'Model | Autoencoder':
    """The model in `folder`, without its weights; see `read`.

    Raises:
        UserError: no spec, or one of a model that cannot be built.
    """
    spec = read(folder, metadata)
    try:
        model = build(spec)
        model.shapes()
    except UserError as error:
        raise UserError(f'the model in {folder} cannot be built: {error}') from None
    except Exception as error:
        # Its options are of wrong types or sizes: the file is an input, and any of them can be.
        raise UserError(
            f'the model in {folder} cannot be built, since {NAME} has options that do not fit '
            f'together: {type(error).__name__}: {str(error)[:200]}'
        ) from error
    return model
