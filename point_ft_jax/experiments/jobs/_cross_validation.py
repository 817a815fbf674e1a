"""How many epochs to train where clouds are too few to hold some out: cross-validation."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.fingerprint import fingerprints
from point_ft_jax.data.split import Split, folds
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.fitting import Fitting
from point_ft_jax.models.model import Model
from point_ft_jax.reports import intervals
from point_ft_jax.reports.report import Section, Table
from point_ft_jax.training import metrics_log, plan
from point_ft_jax.training.finetune import training_metadata

SCORE = 'validation_accuracy'


@dataclasses.dataclass(frozen=True)
class Crossed:
    """What cross-validation found.

    Attributes:
        epoch: with the best mean score of the folds; of equals the last.
        scores: of each fold, the accuracy at that epoch, in 0..1.
        clouds: how many each fold has.
    """

    epoch: int
    scores: Sequence[float]
    clouds: Sequence[int]

    def settle(self, config: ConfigDict) -> ConfigDict:
        """The config of a model that trains on all clouds, to that epoch of the same schedule."""
        settled = config.copy_and_resolve_references()
        settled.optim.epochs = config.optim.epochs or config.train.epochs
        settled.train.epochs = self.epoch
        settled.select = 'last_epoch'
        return settled

    def section(self) -> Section:
        """The folds, for a report."""
        share = float(np.average(self.scores, weights=self.clouds))
        interval = intervals.percent(*intervals.wilson(share, sum(self.clouds)))
        rows = [
            {'fold': fold, 'clouds': size, 'accuracy %': f'{100 * score:.2f}'}
            for fold, (score, size) in enumerate(zip(self.scores, self.clouds, strict=True), 1)
        ]
        text = (
            f'{len(rows)} models, each without one fold of the training clouds, were best at epoch '
            f'{self.epoch} by their mean accuracy on the folds left out: {100 * share:.2f} % of '
            f'{sum(self.clouds)} clouds (95 % interval {interval}; optimistic by as much as '
            'choosing the epoch gains). The model above trained on all clouds to that epoch.'
        )
        return Section('Cross-validation', [text, Table(rows)])


def cross_validate(config: ConfigDict, model: Model, train: Split, folder: pathlib.Path) -> Crossed:
    """Fits one model a fold, in `folder`/folds, with the first seed; goes on where it was stopped.

    Raises:
        UserError: folds that the clouds do not fill, a population, or another `select` than
            'validation'.
    """
    if config.select != 'validation' or config.population != 1:
        raise UserError(
            'validation.folds choose the epoch of one model at a time; select is '
            f"{config.select!r} and population {config.population}: set select to 'validation' and "
            'population to 1'
        )
    seed, task = config.seeds[0], build.task_of(config, train)
    pairs = folds(train, config.validation.folds, config.validation.seed)
    histories = []
    for number, (training, held_out) in enumerate(pairs, 1):
        splits = {'train': training, 'validation': held_out}
        training_plan = run_folder.plan(config, seed)
        plan.check(training_plan, splits, config.points, devices.make_mesh().size)
        metadata = {
            'checkpoint': config.init.checkpoint,
            **training_metadata(training, config.points),
            'data': fingerprints(splits),
        }
        devices.say(f'fold {number} of {len(pairs)}: {len(held_out)} clouds are left out')
        place = folder / 'folds' / f'fold_{number}'
        Fitting(config, model, splits, task, training_plan, metadata).fit_seed(seed, place)
        histories.append(_scores(metrics_log.read(place)))
    return _best(histories, [len(held_out) for _, held_out in pairs])


def _scores(history: Sequence[Mapping[str, float]]) -> dict[int, float]:
    return {line['epoch']: line[SCORE] for line in history if line.get(SCORE) is not None}


def _best(histories: Sequence[Mapping[int, float]], clouds: Sequence[int]) -> Crossed:
    """The epoch with the best mean over the folds, weighted by their clouds."""
    means = {
        epoch: float(np.average([scores[epoch] for scores in histories], weights=clouds))
        for epoch in histories[0]
    }
    epoch = max(means, key=lambda epoch: (means[epoch], epoch))
    return Crossed(int(epoch), [scores[epoch] for scores in histories], clouds)
