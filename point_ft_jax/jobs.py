"""What run.py can do, by the name in a config."""

import importlib
from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.errors import UserError

# Module and function: a job imports its own libraries, not those of all.
JOBS = {
    'finetune': ('pipeline', 'finetune'),
    'pretrain': ('pretraining', 'pretrain'),
    'compare': ('compare', 'compare'),
    'linear_svm': ('judge', 'linear_svm'),
    'neighbours': ('judge', 'nearest_neighbours'),
    'few_shot': ('judge', 'few_shots'),
    'vote': ('judge', 'vote'),
    'corruptions': ('judge', 'corrupted'),
    'wise_ft_lp': ('wise_experiment', 'wise_ft_lp'),
}


def run(config: ConfigDict, command: str = '') -> Any:
    """Does the job of `config.job`; gives what it gives. UserError for an unknown one."""
    if config.job not in JOBS:
        raise UserError(f'job is {config.job!r}; expected one of {", ".join(JOBS)}')
    module, function = JOBS[config.job]
    return getattr(importlib.import_module(f'point_ft_jax.{module}'), function)(config, command)
