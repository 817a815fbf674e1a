"""What run.py can do, by the name in a config."""

import importlib
from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.core.errors import UserError

# Module and function: a job imports its own libraries, not those of all.
JOBS = {
    'finetune': ('finetune', 'finetune'),
    'pretrain': ('pretrain', 'pretrain'),
    'compare': ('compare', 'compare'),
    'linear_svm': ('_frozen_model', 'linear_svm'),
    'neighbours': ('_frozen_model', 'nearest_neighbours'),
    'few_shot': ('_frozen_model', 'few_shots'),
    'vote': ('_frozen_model', 'vote'),
    'corruptions': ('_frozen_model', 'corrupted'),
    'wise_ft_lp': ('wise_ft_lp', 'wise_ft_lp'),
}


def run(config: ConfigDict, command: str = '') -> Any:
    """Does the job of `config.job`; gives what it gives. UserError for an unknown one."""
    if config.job not in JOBS:
        raise UserError(f'job is {config.job!r}; expected one of {", ".join(JOBS)}')
    module, function = JOBS[config.job]
    return getattr(importlib.import_module(f'{__name__}.{module}'), function)(config, command)
