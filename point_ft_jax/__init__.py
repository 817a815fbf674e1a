"""Fine-tune pre-trained 3D point-cloud transformers in JAX/Flax, with nothing to compile.

    from point_ft_jax import Split, evaluate, finetune, load_run, predict, save

The names below are imported when they are first used: `import point_ft_jax` alone imports no jax.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from point_ft_jax.core import former_names

if TYPE_CHECKING:
    from point_ft_jax import weight_space
    from point_ft_jax.checkpoints.pretrained import load_pretrained
    from point_ft_jax.checkpoints.run import load_run, save
    from point_ft_jax.core.errors import UserError
    from point_ft_jax.core.plugins import available
    from point_ft_jax.data.loader import load_dataset
    from point_ft_jax.data.split import Split
    from point_ft_jax.evaluation.predictions import features, predict
    from point_ft_jax.experiments.jobs import run
    from point_ft_jax.methods import merge
    from point_ft_jax.models import create_model
    from point_ft_jax.models.tuned import TunedModel
    from point_ft_jax.training.finetune import finetune
    from point_ft_jax.training.scoring import evaluate

# The front door: a public name and the module that it is defined in.
_HOMES = {
    'Split': 'data.split',
    'TunedModel': 'models.tuned',
    'UserError': 'core.errors',
    'available': 'core.plugins',
    'create_model': 'models',
    'evaluate': 'training.scoring',
    'features': 'evaluation.predictions',
    'finetune': 'training.finetune',
    'load_dataset': 'data.loader',
    'load_pretrained': 'checkpoints.pretrained',
    'load_run': 'checkpoints.run',
    'merge': 'methods',
    'predict': 'evaluation.predictions',
    'run': 'experiments.jobs',
    'save': 'checkpoints.run',
}

__all__ = [
    'Split',
    'TunedModel',
    'UserError',
    'available',
    'create_model',
    'evaluate',
    'features',
    'finetune',
    'load_dataset',
    'load_pretrained',
    'load_run',
    'merge',
    'predict',
    'run',
    'save',
    'weight_space',
]

sys.meta_path.append(former_names.Finder())


def __getattr__(name: str) -> Any:
    """A name of the front door, imported now."""
    if name == 'weight_space':
        return importlib.import_module('point_ft_jax.weight_space')
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
