"""What a run starts from: random weights, a file, a run, or the backbone that ships."""

import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints import shipped, torch_file
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.model import Model


def load_start(
    config: ConfigDict, built: Model | Autoencoder, seed: int
) -> tuple[dict[str, trees.Tree], str]:
    """The variables to start from, and a line that says where they came from.

    A classifier takes its backbone from `config.init.checkpoint`, an autoencoder everything.

    Raises:
        UserError: the checkpoint is not set, missing, unreadable, or does not fit.
    """
    path = config.init.checkpoint
    if path is None:
        raise UserError(
            'this config starts from a pre-trained backbone: give --config.init.checkpoint=FILE, '
            'or an empty one for random weights'
        )
    variables, key = built.shapes(), jax.random.key(seed)
    whole = isinstance(built, Autoencoder)
    what = 'autoencoder' if whole else 'backbone'
    if not path:
        return built.draw(key, variables), f'{what}: random, from seed {seed}'
    load = built.load_all if whole else built.load_backbone
    variables, report = load(variables, state_dict(path), str(path))
    return built.draw(key, variables), f'{what}: {path}: {report}'


def state_dict(path: str) -> Mapping[str, np.ndarray]:
    """The weights at `path`, under PyTorch's names.

    `path` is a .pth file, the folder of a run (fine-tuned or pre-trained; of its chosen epoch), or
    'shipped:NAME' for a backbone that comes with this project.

    Raises:
        UserError: nothing there, or nothing that can be read.
    """
    if pathlib.Path(path).expanduser().is_dir():
        run = saved.load(path, job=None)
        return run.model.export(run.variables)
    return torch_file.state_dict(shipped.locate(path))[0]
