"""Jobs: what run.py does, one file each, by the name in `config.job`."""

from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.core import folder_lock, plugins


def run(config: ConfigDict, command: str = '') -> Any:
    """The report of the job `config.job`, which has written it to the run's folder.

    Args:
        config: as a file of configs/ returns it, or `experiments.config.default()` with changes.
        command: how the job was called, for the report; '' for a call from Python.

    Returns:
        A `reports.report.Report`: `outcome` is its main result in words, `result` what result.json
        holds, with accuracies as fractions in 0..1.

    Raises:
        UserError: an unknown job, and all that the job finds wrong with the config, the data, the
            checkpoint or the folder.

    Examples:
        >>> import tempfile
        >>> from ml_collections import ConfigDict
        >>> from point_ft_jax import run
        >>> from point_ft_jax.experiments.config import judging
        >>> config = judging('linear_svm')
        >>> config.folder = tempfile.mkdtemp() + '/svm'
        >>> config.points = 64
        >>> config.data = ConfigDict(
        ...     {'name': 'shapes', 'num_points': 64, 'train_size': 60, 'test_size': 30}
        ... )
        >>> config.model.variant = 'tiny'
        >>> config.model.geometry = ConfigDict({'num_groups': 8, 'depth': 1})
        >>> report = run(config)
        >>> 0 <= report.result['accuracy'] <= 1
        True
    """
    try:
        return plugins.load('jobs', config.job).run(config, command)
    finally:
        folder_lock.release_all()
