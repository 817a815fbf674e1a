"""The test accuracy of a finished run with voting."""

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment
from point_ft_jax.evaluation import metrics
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs._frozen_model import finish, judged_facts, judged_run
from point_ft_jax.reports import samples
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """The test accuracy of a finished run with voting, as `config.vote` has it.

    Raises:
        UserError: no run, or what its data has wrong.
    """
    folder, _ = run_folder.begin(config)
    metadata, vote = judged_facts(config), config.vote
    if vote.votes < 1:
        raise UserError(f'vote.votes is {vote.votes}; expected 1 or more')
    augment.named(vote.augment)
    run_config, num_points = build.config_of(metadata, config.run), metadata['points']
    test = build.load_splits(run_config)['test']
    run = judged_run(config)
    task = build.task_of(run_config, test)
    points, targets = task.prepare(test, num_points)
    augmentation = augment.named(vote.augment, test.channels)
    answer = task.voter(
        run.model.module, make_mesh(), config.train.batch_size, augmentation, vote.votes
    )
    accuracies, best = [], None
    for repeat in range(vote.repeats):
        key = jax.random.fold_in(jax.random.key(config.seeds[0]), repeat)
        answers = answer(run.variables, test, num_points, key)
        accuracies.append(task.measure(answers, targets)['accuracy'])
        best = answers if accuracies[-1] == max(accuracies) else best
    result = {
        'votes': vote.votes,
        'repeats': accuracies,
        'accuracy': max(accuracies),
        'mean': np.mean(accuracies),
    }
    return finish(
        config,
        folder,
        command,
        result,
        f'best of {vote.repeats} times {vote.votes} votes',
        clouds=len(test),
        classes=test.classes,
        confusion=metrics.confusion_matrix(test.labels, best.argmax(-1), len(test.classes)),
        shown=samples.select(points, best, test.labels, names=test.names),
    )
