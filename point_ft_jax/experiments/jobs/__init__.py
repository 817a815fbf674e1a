"""Jobs: what run.py does, one file each, by the name in `config.job`."""

from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.core import plugins


def run(config: ConfigDict, command: str = '') -> Any:
    """Runs the job of `config.job`, and returns what it returns; UserError for an unknown one."""
    return plugins.load('jobs', config.job).run(config, command)
