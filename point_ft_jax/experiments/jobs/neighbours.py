"""The accuracy of nearest neighbours on frozen features."""

from ml_collections import ConfigDict

from point_ft_jax.evaluation import neighbours
from point_ft_jax.experiments import run_folder
from point_ft_jax.experiments.jobs._frozen_model import finish, split_features
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """The accuracy of k nearest neighbours on frozen features; errors as `linear_svm`."""
    folder, _ = run_folder.begin(config)
    train, test = split_features(config)
    accuracy = neighbours.neighbour_accuracy(train, test, config.svm.neighbours)
    return finish(
        config, folder, command, {'accuracy': accuracy}, f'{config.svm.neighbours} neighbours'
    )
