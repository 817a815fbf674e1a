"""Modules of version 0.1 that have moved: importing one says where it is now."""

import importlib.abc
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = 'point_ft_jax.'
# Of version 0.1: a command, or a module that users imported, and what stands for it now.
FORMER = {
    'bench': 'the command `point-ft benchmark`',
    'memory': 'the command `point-ft memory`',
    'predict': 'the command `point-ft predict`',
    'evaluate_checkpoint': 'the command `point-ft evaluate`',
    'inspect_checkpoint': 'the command `point-ft inspect`',
    'check_data': 'the command `point-ft check_data`',
    'export': 'the command `point-ft export`',
    'merge': 'the command `point-ft merge`',
    'quick': '`from point_ft_jax import finetune`',
    'split': '`from point_ft_jax import Split` (Split.from_arrays)',
    'config': '`point_ft_jax.experiments.config`',
    'papers': '`point_ft_jax.experiments.papers`',
    'model': '`from point_ft_jax import create_model`',
    'saved': '`from point_ft_jax import load_run`',
    'start': '`from point_ft_jax import load_pretrained`',
    'errors': '`from point_ft_jax import UserError`',
    'torch_file': '`point_ft_jax.checkpoints.torch_file`',
    'params': '`point_ft_jax.core.trees`',
    'wise': '`point_ft_jax.weight_space.wise`',
    'shapes': '`point_ft_jax.data.shapes`',
}


class Finder(importlib.abc.MetaPathFinder):
    """Finds nothing, and says for a former name what its new one is."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ModuleNotFoundError for a former name; None for every other."""
        if name.startswith(PACKAGE) and (former := name.removeprefix(PACKAGE)) in FORMER:
            raise ModuleNotFoundError(f'{name} has moved: use {FORMER[former]}', name=name)
        return None
