"""The accuracy of nearest neighbours on frozen features."""

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.evaluation import neighbours
from point_ft_jax.experiments import run_folder
from point_ft_jax.experiments.jobs._frozen_model import finish, parts_of, split_features
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """The accuracy of k nearest neighbours on frozen features; errors as `linear_svm`."""
    folder, _ = run_folder.begin(config)
    found = split_features(config)
    answers = neighbours.answers(found.train, found.test, config.svm.neighbours)
    result = {'accuracy': float(np.mean(answers == found.test[1]))}
    label = f'{config.svm.neighbours} neighbours'
    return finish(config, folder, command, result, label, **parts_of(answers, found))
