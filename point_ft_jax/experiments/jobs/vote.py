"""The test accuracy of a finished run with voting."""

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment
from point_ft_jax.evaluation import inference, voting
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs._frozen_model import finish, judged_run
from point_ft_jax.reports.report import Report


def run(config: ConfigDict, command: str = '') -> Report:
    """The test accuracy of a finished run with voting, as `config.vote` has it.

    Raises:
        UserError: no run, or what its data has wrong.
    """
    folder, _ = run_folder.begin(config)
    run = judged_run(config)
    plan = config.vote
    if plan.votes < 1:
        raise UserError(f'vote.votes is {plan.votes}; expected 1 or more')
    test = build.load_splits(build.config_of(run.metadata, config.run))['test']
    predict = inference.make_predict(run.model.module, make_mesh(), config.train.batch_size)
    found = [
        float(
            np.mean(
                voting.vote(
                    predict,
                    run.variables,
                    test.points,
                    run.metadata['points'],
                    augment.named(plan.augment),
                    plan.votes,
                    jax.random.fold_in(jax.random.key(config.seeds[0]), repeat),
                ).argmax(-1)
                == test.labels
            )
        )
        for repeat in range(plan.repeats)
    ]
    result = {'votes': plan.votes, 'repeats': found, 'accuracy': max(found), 'mean': np.mean(found)}
    return finish(
        config, folder, command, result, f'best of {plan.repeats} times {plan.votes} votes'
    )
