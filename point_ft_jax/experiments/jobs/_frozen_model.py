"""The protocols that judge a model, from a config to a result: one function each.

What is judged is a finished run (`config.run`), tuner and all, or the backbone of
`config.init.checkpoint`. Results are printed, and written to the run's folder as result.json.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import pretrained
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.store import write_json
from point_ft_jax.core import trees
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions, features, few_shot, inference, metrics, neighbours
from point_ft_jax.evaluation import linear_svm as svm
from point_ft_jax.evaluation.corruptions import official
from point_ft_jax.evaluation.corruptions import scores as corruption_scores
from point_ft_jax.evaluation.features import Variables
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.models.model import Model
from point_ft_jax.reports import tables
from point_ft_jax.training.fit import fit

SAMPLES = ('farthest', 'first')  # points of a cloud, of those it has
Result = dict[str, Any]


def linear_svm(config: ConfigDict, command: str = '') -> Result:
    """The accuracy of a linear SVM on frozen features of `config.data`, as `config.svm` has it.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
    """
    folder, _ = run_folder.begin(config)
    train, test = _features(config)
    accuracy = svm.linear_svm(train, test, classifier=config.svm.classifier, c=config.svm.c)
    what = f'{config.svm.classifier}, C = {config.svm.c:g}'
    return _done(folder, command, {'accuracy': accuracy}, f'linear SVM ({what})')


def nearest_neighbours(config: ConfigDict, command: str = '') -> Result:
    """The accuracy of k nearest neighbours on frozen features; errors as `linear_svm`."""
    folder, _ = run_folder.begin(config)
    train, test = _features(config)
    accuracy = neighbours.neighbour_accuracy(train, test, config.svm.neighbours)
    return _done(folder, command, {'accuracy': accuracy}, f'{config.svm.neighbours} neighbours')


def few_shots(config: ConfigDict, command: str = '') -> Result:
    """Few-shot accuracy over folds, by probing frozen features or by tuning on every fold.

    Folds are the official ones below `config.few_shot.root`, or drawn from `config.data`.

    Raises:
        UserError: missing folds, classes with fewer clouds than shots, or what `linear_svm` raises.
        Stopped: Ctrl-C or SIGTERM while a fold is tuned on; finished folds are kept.
    """
    plan = config.few_shot
    if plan.by not in ('probing', 'tuning'):
        raise UserError(f"few_shot.by is {plan.by!r}; expected 'probing' or 'tuning'")
    folder, _ = run_folder.begin(config)
    if plan.by == 'tuning':
        clouds = _fold_clouds(config)
        found = [_tune(config, *pair, folder, i) for i, pair in enumerate(clouds)]
    elif plan.root:
        extract = _extractor(config, _plain_model(config, plan.ways))
        found = [_probe_official(extract, *pair, plan.ways) for pair in _fold_clouds(config)]
    else:
        splits = _drawn_splits(config)
        folds = _draw(config, splits)
        extract = _extractor(config, _plain_model(config, plan.ways))
        train, test = (extract(split.points) for split in splits)
        found = few_shot.probe_folds(train, test, folds).tolist()
    result = {'folds': found, 'accuracy': float(np.mean(found)), 'std': float(np.std(found))}
    label = f'{plan.ways}-way {plan.shots}-shot by {plan.by}, {len(found)} folds'
    return _done(folder, command, result, f'{label} (± {100 * result["std"]:.2f})')


def vote(config: ConfigDict, command: str = '') -> Result:
    """The test accuracy of a finished run with voting, as `config.vote` has it.

    Raises:
        UserError: no run, or what its data has wrong.
    """
    folder, _ = run_folder.begin(config)
    run = _run(config)
    plan = config.vote
    if plan.votes < 1:
        raise UserError(f'vote.votes is {plan.votes}; expected 1 or more')
    test = build.load_splits(ConfigDict(run.facts['config']))['test']
    predict = inference.make_predict(run.model.module, make_mesh(), config.train.batch_size)
    found = [
        float(
            np.mean(
                inference.vote(
                    predict,
                    run.variables,
                    test.points,
                    run.facts['points'],
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
    return _done(folder, command, result, f'best of {plan.repeats} times {plan.votes} votes')


def corrupted(config: ConfigDict, command: str = '') -> Result:
    """The accuracies of a finished run on corrupted test clouds, and what follows from them.

    The official ModelNet-C below `config.corruptions.root`, or `config.corruptions.suite` made anew
    from the run's own test clouds. mCE and RmCE are of ModelNet40 alone, whose reference they have.

    Raises:
        UserError: no run, an unknown suite or severity, missing files, or other classes.
    """
    folder, _ = run_folder.begin(config)
    run, plan = _run(config), config.corruptions
    own = ConfigDict(run.facts['config'])
    predict = inference.make_predict(run.model.module, make_mesh(), config.train.batch_size)

    def accuracy(split: Split) -> float:
        points = inference.prepare(split.points, split.points.shape[1])
        return float(np.mean(predict(run.variables, points).argmax(-1) == split.labels))

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
            test, plan.suite, plan.severities, plan.clouds, run.facts['points']
        )
    if tuple(clean.classes) != tuple(run.facts['classes']):
        raise UserError(
            f'{config.run} tells {len(run.facts["classes"])} classes apart that are not the '
            f'{len(clean.classes)} of {name}'
        )
    found = {
        kind: {severity: accuracy(split) for severity, split in levels.items()}
        for kind, levels in sets.items()
    }
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
    run_folder.say(tables.text(rows))
    errors = ', '.join(f'{k} {result[k]:.3f}' for k in ('mCE', 'RmCE', 'mOA') if k in result)
    return _done(folder, command, result, f'{name}, mean over all {errors}'.rstrip())


def _run(config: ConfigDict) -> saved.Saved:
    if not config.run:
        raise UserError('say which run is to be judged: --config.run=FOLDER')
    run = saved.load(config.run)
    if run.facts['config']['task'] == build.SEGMENTATION:
        raise UserError(f'{config.run} segments parts; this protocol judges classifiers')
    return run


def _plain_model(config: ConfigDict, num_classes: int) -> tuple[Model, Variables]:
    """What is judged: a run, or a backbone."""
    if config.run:
        run = _run(config)
        return run.model, run.variables
    built = build.build_model(config, num_classes)
    variables, origin = pretrained.load_start(config, built, config.seeds[0])
    run_folder.say(origin)
    if config.svm.rename and config.init.checkpoint:
        state = pretrained.state_dict(config.init.checkpoint)
        for old, new in config.svm.rename:
            state = {key.replace(f'{old}.', f'{new}.'): value for key, value in state.items()}
        variables, _ = built.load_backbone(variables, state, config.init.checkpoint)
    return built, variables


def _extractor(
    config: ConfigDict, judged: tuple[Model, Variables]
) -> Callable[[np.ndarray], np.ndarray]:
    """Stored clouds [S, N, 3] to features [S, F]."""
    built, variables = judged
    plan = config.svm
    if plan.sample not in SAMPLES:
        raise UserError(f'svm.sample is {plan.sample!r}; expected {" or ".join(SAMPLES)}')
    module = features.reshaped(built.module, plan.geometry)
    num_points = plan.points or config.points
    readout = tuple(plan.readout) or module.readout
    extract = features.make_extract(module, make_mesh(), config.train.batch_size, {'x': readout})
    stack = features.stack(variables)

    def of(points: np.ndarray) -> np.ndarray:
        if plan.sample == 'first':
            points = points[:, :num_points]
        return extract(stack, inference.prepare(points, num_points))['x'][0]

    return of


def _features(config: ConfigDict) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Features and labels of the training and of the test split, all of it."""
    splits = _whole_splits(config)
    extract = _extractor(config, _plain_model(config, len(splits['train'].classes)))
    return tuple((extract(splits[n].points), splits[n].labels) for n in ('train', 'test'))


def _whole_splits(config: ConfigDict) -> Mapping[str, Split]:
    """Nothing held out: no epoch is chosen here."""
    whole = config.copy_and_resolve_references()
    whole.validation.fraction = 0.0
    return build.load_splits(whole)


def _drawn_splits(config: ConfigDict) -> tuple[Split, Split]:
    splits = _whole_splits(config)
    pair = splits['train'], splits['test']
    if config.few_shot.pool not in ('splits', 'union'):
        raise UserError(f"few_shot.pool is {config.few_shot.pool!r}; expected 'splits' or 'union'")
    return few_shot.union(*pair) if config.few_shot.pool == 'union' else pair


def _draw(config: ConfigDict, splits: tuple[Split, Split]) -> list[few_shot.Fold]:
    plan = config.few_shot
    return few_shot.draw(
        *(split.labels for split in splits),
        ways=plan.ways,
        shots=plan.shots,
        queries=plan.queries,
        folds=plan.folds,
        seed=config.seeds[0],
    )


def _fold_clouds(config: ConfigDict) -> list[tuple[Split, Split]]:
    """The clouds of every fold, official or drawn."""
    plan = config.few_shot
    if plan.root:
        return few_shot.read_official(plan.root, plan.ways, plan.shots, plan.folds)
    splits = _drawn_splits(config)
    return [few_shot.take(fold, *splits) for fold in _draw(config, splits)]


def _probe_official(extract: Callable, train: Split, test: Split, ways: int) -> float:
    """The accuracy of a linear probe on a fold with clouds of its own."""
    order = [np.argsort(split.labels, kind='stable') for split in (train, test)]
    fold = few_shot.Fold(np.arange(ways), *order)
    found = few_shot.probe_folds(extract(train.points), extract(test.points), [fold])
    return float(found[0])


def _tune(
    config: ConfigDict, train: Split, test: Split, folder: pathlib.Path, number: int
) -> float:
    """The accuracy after tuning on a fold, at the epoch that `config.select` chooses."""
    built = build.build_model(config, len(train.classes))
    variables, _ = pretrained.load_start(config, built, number)
    batch = min(config.train.batch_size, len(train))
    recipe = build.make_recipe(config, built, max(len(train) // batch, 1), make_mesh())
    plan = run_folder.plan(config, number)
    plan = dataclasses.replace(plan, batch_size=batch)
    chosen = trees.select(variables['params'], built.method.trainable)
    splits = {'train': train, 'test': test}
    found = fit(recipe, variables, chosen, splits, plan, folder / f'fold_{number}')
    accuracy = metrics.overall_accuracy(found.records['chosen'].confusion)
    run_folder.say(f'fold {number}: {100 * accuracy:.2f} %')
    return accuracy


def _done(folder: pathlib.Path, command: str, result: Result, label: str) -> Result:
    """Writes and prints a result."""
    run_folder.say(f'{label}: accuracy {100 * result["accuracy"]:.2f} %')
    if main_process():
        write_json(folder / 'result.json', {'command': command, **result})
    return result
