"""The accuracy of a linear SVM on frozen features."""

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.evaluation import linear_svm as svm
from point_ft_jax.experiments import run_folder
from point_ft_jax.experiments.jobs._frozen_model import finish, parts_of, split_features
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """The accuracy of a linear SVM on frozen features of `config.data`, as `config.svm` has it.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
    """
    folder, _ = run_folder.begin(config)
    found = split_features(config)
    clouds, size = found.train[0].shape
    devices.say(f'fitting a linear SVM to {clouds:,} clouds of {size:,} features ...')
    answers = svm.answers(found.train, found.test, classifier=config.svm.classifier, c=config.svm.c)
    result = {'accuracy': float(np.mean(answers == found.test[1]))}
    label = f'linear SVM ({config.svm.classifier}, C = {config.svm.c:g})'
    return finish(config, folder, command, result, label, **parts_of(answers, found))
