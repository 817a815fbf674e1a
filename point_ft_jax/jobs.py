"""What run.py can do, by the name in a config."""

from typing import Any

from ml_collections import ConfigDict

from point_ft_jax import compare, pipeline, pretraining
from point_ft_jax.errors import UserError

JOBS = {'compare': compare.compare, 'finetune': pipeline.finetune, 'pretrain': pretraining.pretrain}


def run(config: ConfigDict, command: str = '') -> Any:
    """Does the job of `config.job`; gives what it gives. UserError for an unknown one."""
    if config.job not in JOBS:
        raise UserError(f'job is {config.job!r}; expected one of {", ".join(JOBS)}')
    return JOBS[config.job](config, command)
