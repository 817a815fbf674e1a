"""The accuracy of a finished run on corrupted test clouds."""

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions, inference
from point_ft_jax.evaluation.adaptation import check_adaptation, make_adapted, needs_source
from point_ft_jax.evaluation.corruptions import official
from point_ft_jax.evaluation.corruptions import scores as corruption_scores
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs._frozen_model import (
    Result,
    finish,
    judged_facts,
    judged_run,
)
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.reports import tables
from point_ft_jax.reports.report import Report


def _predictor(config: ConfigDict, run: TunedModel) -> inference.Predict:
    """The run's logits, adapting at test time if the config says so."""
    adapt, size = config.adapt, config.train.batch_size
    if not adapt.name:
        return inference.make_predict(run.model.module, make_mesh(), size)
    options = adapt.options.to_dict()
    check_adaptation(adapt.name, options)
    if needs_source(adapt.name):
        own = build.config_of(run.metadata, config.run)
        train = build.load_splits(own)['train']
        options['source'] = inference.prepare(train.points, run.metadata['points'])
    return make_adapted(adapt.name, run.model.module, make_mesh(), size, options)


def run(config: ConfigDict, command: str = '') -> Report:
    """The accuracies of a finished run on corrupted test clouds, and what follows from them.

    The official ModelNet-C below `config.corruptions.root`, or `config.corruptions.suite` made anew
    from the run's own test clouds. mCE and RmCE are of ModelNet40 alone, whose reference they have.

    With `config.adapt.name` the run adapts to every set of clouds as it answers, each time from the
    weights that it was trained to.

    Raises:
        UserError: no run, an unknown suite, severity or adaptation, missing files, other classes.
    """
    folder, _ = run_folder.begin(config)
    metadata, plan = judged_facts(config), config.corruptions
    own = build.config_of(metadata, config.run)
    if plan.root:
        official.check(plan.root)
        name, clean = 'ModelNet-C (official files)', official.read(plan.root)
        sets = {
            kind: {level + 1: official.read(plan.root, kind, level) for level in official.LEVELS}
            for kind in corruptions.modelnet_c.CORRUPTIONS
        }
    else:
        name, test = plan.suite, build.load_splits(own)['test']
        clean, sets = corruptions.regenerate(
            test,
            plan.suite,
            plan.severities,
            plan.clouds,
            metadata['points'],
            lambda kind: devices.say(f'made: {kind}'),
        )
    if tuple(clean.classes) != tuple(metadata['classes']):
        raise UserError(
            f'{config.run} predicts {len(metadata["classes"])} classes, which are not the '
            f'{len(clean.classes)} of {name}'
        )
    run = judged_run(config)  # read last: a mistake in the data is found before
    predict = _predictor(config, run)

    def accuracy(split: Split) -> float:
        points = inference.prepare(split.points, split.points.shape[1])
        return float(np.mean(predict(run.variables, points).argmax(-1) == split.labels))

    found = {}
    for kind, levels in sets.items():
        found[kind] = {severity: accuracy(split) for severity, split in levels.items()}
        devices.say(f'{kind}: {100 * np.mean(list(found[kind].values())):.2f} %')
    result: Result = {'suite': name, 'clean': accuracy(clean), 'accuracies': found}
    result['accuracy'] = 1 - corruption_scores.mean_error(found)
    if own.data.name == 'modelnet40' and found.keys() == corruption_scores.DGCNN.keys():
        result |= corruption_scores.corruption_errors(result['clean'], found)
    rows = [{'corruption': 'clean', 'mean': f'{100 * result["clean"]:.2f}'}]
    rows += [
        {
            'corruption': kind,
            'mean': f'{100 * np.mean(list(levels.values())):.2f}',
            **{f'severity {s}': f'{100 * v:.2f}' for s, v in levels.items()},
        }
        for kind, levels in found.items()
    ]
    devices.say(tables.text(rows))
    errors = ', '.join(f'{k} {result[k]:.3f}' for k in ('mCE', 'RmCE', 'mOA') if k in result)
    result['adapt'] = config.adapt.name
    adapting = f', {config.adapt.name}' if config.adapt.name else ''
    label = f'{name}, mean over all {errors}'.rstrip() + adapting
    parts = {'clouds': 0, 'rows': rows, 'corruptions': found, 'clean': result['clean']}
    return finish(config, folder, command, result, label, **parts)
