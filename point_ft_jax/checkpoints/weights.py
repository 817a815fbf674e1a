"""Weights from `.pth` and `.safetensors` files, under the names of the references' code."""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from point_ft_jax.checkpoints import safetensors_file, torch_file
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import torch_pointcloud


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        state: the arrays by the references' names.
        beside: everything else that the file holds, by name.
        project: 'torch-pointcloud' where that library wrote it and its names were translated; ''
            where the names are the references' own, or unknown.
    """

    state: Mapping[str, np.ndarray]
    beside: Mapping[str, object]
    project: str = ''


def read(path: str | os.PathLike, key: str | None = None, prefix: str = '') -> Weights:
    """The weights of a file, whichever of the two kinds it is.

    Args:
        path: of the file.
        key, prefix: see `torch_file.state_dict`; a .safetensors file has no entries to choose from.

    Raises:
        UserError: see `torch_file.state_dict` and `safetensors_file.read`.
    """
    named = str(path).endswith(safetensors_file.SUFFIX)
    if named or safetensors_file.is_safetensors(path):
        if key is not None:
            raise UserError(
                f'{path}: --key names an entry of a .pth; a .safetensors file has but weights'
            )
        state, metadata = safetensors_file.read(path)
        state, beside = torch_file.below(path, state, dict(metadata), prefix)
    else:
        state, beside = torch_file.state_dict(path, key, prefix)
    state, project = torch_pointcloud.as_reference(state)
    return Weights(state, beside, project)
