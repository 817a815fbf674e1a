"""From the config of a WiSE experiment to what its models are measured on and with."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions, features, few_shot, inference
from point_ft_jax.evaluation.features import Extract
from point_ft_jax.evaluation.few_shot import Fold
from point_ft_jax.experiments import build
from point_ft_jax.models.model import Model
from point_ft_jax.training import optimizer, probe, schedules
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.weight_space import batch_statistics
from point_ft_jax.weight_space.wise import HEAD, SVM, Bench, Clouds

Probe = Callable[[Variables, np.ndarray, Sequence[float]], Variables]


def draw_folds(config: ConfigDict, source: Mapping[str, Split]) -> dict[str, list[Fold]]:
    """Few-shot folds on the source, by name."""
    plan = config.few_shot
    return {
        f'{ways}-way {shots}-shot': few_shot.sample_folds(
            source['train'].labels,
            source['test'].labels,
            ways=ways,
            shots=shots,
            queries=plan.queries,
            folds=plan.folds,
        )
        for ways in plan.ways
        for shots in plan.shots
    }


def make(
    config: ConfigDict,
    built: Model,
    start_head: Variables,
    source: Mapping[str, Split],
    folds: Mapping[str, Sequence[Fold]],
    folder: pathlib.Path,
    seed: int,
) -> Bench:
    """The bench of one fine-tuned model.

    Args:
        config: of the experiment, its data being the setting's.
        built: the model.
        start_head: what probing starts from, without an axis for alphas.
        source, folds: see above.
        folder: where probing through the backbone keeps its checkpoints.
        seed: of probing.
    """
    splits = build.load_splits(config)
    mesh, batch = make_mesh(), config.wise.batch_size
    readout = tuple(config.svm.readout) or built.module.readout
    frozen = features.reshaped(built.module, config.svm.geometry)
    num_points = config.svm.points or config.points
    return Bench(
        target={name: _prepared(split, config.points) for name, split in splits.items()},
        corrupted=_corrupted(config, splits['test']),
        source={name: _prepared(split, num_points) for name, split in source.items()},
        folds=folds,
        target_features=_extract(built.module, mesh, batch, HEAD, built.module.readout),
        source_features=_extract(frozen, mesh, batch, SVM, readout),
        head=built.module.head,
        probe=_prober(config, built, start_head, splits['train'], folder, seed),
        svm={'classifier': config.svm.classifier, 'c': config.svm.c},
        neighbours=config.svm.neighbours,
    )


def make_reestimate(
    config: ConfigDict, built: Model, seed: int
) -> Callable[[Variables], Variables]:
    """Stacked variables to their statistics on the training clouds, augmented as in training."""
    points = _prepared(build.load_splits(config)['train'], config.points).points
    seen = augment.named(config.train.augment)(jax.random.key(seed), jnp.asarray(points))
    order = np.random.default_rng([seed, 0]).permutation(len(points))
    seen = np.asarray(seen)[order[: config.wise.reestimate_clouds]]
    reestimate = _reestimate(built.module, make_mesh(), config.wise.batch_size)
    return lambda variables: reestimate(variables, seen)


# Programs are made once a module: settings and seeds share them.
@functools.cache
def _extract(
    module: nn.Module, mesh: Mesh, batch: int, name: str, readout: tuple[str, ...]
) -> Extract:
    return features.make_extract(module, mesh, batch, {name: readout})


_reestimate = functools.cache(batch_statistics.make_reestimate)


def _prepared(split: Split, num_points: int) -> Clouds:
    return Clouds(inference.prepare(split.points, num_points), split.labels)


def _corrupted(config: ConfigDict, test: Split) -> dict[str, dict[int, Clouds]]:
    """The test clouds as the model sees them, corrupted, with as many points as that leaves."""
    suite = config.corruptions.suite
    if not suite:
        return {}
    c = config.corruptions
    _, found = corruptions.regenerate(test, suite, c.severities, c.clouds, config.points)
    return {
        name: {s: _prepared(split, split.points.shape[1]) for s, split in levels.items()}
        for name, levels in found.items()
    }


def _prober(
    config: ConfigDict,
    built: Model,
    start_head: Variables,
    train: Split,
    folder: pathlib.Path,
    seed: int,
) -> Probe:
    """Trains heads: on the features if clouds are not augmented, else through the backbones."""

    def started(models: Variables) -> Variables:
        count = len(jax.tree.leaves(models)[0])
        return jax.tree.map(lambda a: np.repeat(np.asarray(a)[None], count, 0), start_head)

    def on_features(models: Variables, seen: np.ndarray, _: Sequence[float]) -> Variables:
        return probe.train_heads(
            built.module.head,
            started(models),
            seen,
            train.labels,
            _optimizer(config, len(train))[0],
            epochs=config.probe.epochs,
            batch_size=config.probe.batch_size,
            seed=seed,
            smoothing=config.train.smoothing,
        )

    def through_backbones(models: Variables, _: np.ndarray, alphas: Sequence[float]) -> Variables:
        heads = [
            _probe_through(config, built, one, start_head, train, folder / f'{alpha:g}', seed)
            for one, alpha in zip(_unstacked(models), alphas, strict=True)
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *heads)

    return on_features if config.probe.augment == 'none' else through_backbones


def _probe_through(
    config: ConfigDict,
    built: Model,
    model: Variables,
    start_head: Variables,
    train: Split,
    folder: pathlib.Path,
    seed: int,
) -> Variables:
    """The head of one model, trained behind the frozen backbone on augmented clouds."""
    model = {
        name: {**tree, **({'head': start_head[name]} if start_head[name] else {})}
        for name, tree in model.items()
    }
    tx, schedule = _optimizer(config, len(train))
    steps = max(len(train) // config.probe.batch_size, 1)
    recipe = build.make_recipe(config, built, steps, make_mesh())
    module = features.reshaped(built.module, {'hold_statistics': True, 'drop_path': 0.0})
    recipe = dataclasses.replace(
        recipe,
        module=module,
        tx=tx,
        schedule=schedule,
        augment=augment.named(config.probe.augment),
    )
    probe = config.probe
    plan = TrainingPlan(probe.epochs, probe.batch_size, seed, select='last_epoch')
    trainable = trees.select(model['params'], ('head/*',))
    fitted = fit(recipe, model, trainable, {'train': train}, plan, folder)
    return {name: tree.get('head', {}) for name, tree in fitted.variables.items()}


def _optimizer(
    config: ConfigDict, clouds: int
) -> tuple[optax.GradientTransformation, schedules.Schedule]:
    """The optimizer of probing, and its learning rate by step."""
    plan = config.probe
    schedule = schedules.make_schedule(
        'cosine_by_step',
        plan.lr,
        epochs=plan.epochs,
        warmup=plan.warmup,
        steps_per_epoch=max(clouds // plan.batch_size, 1),
    )
    clip = config.optim.clip or None  # of a head, all but vectors decays
    tx = optimizer.make(schedule, weight_decay=plan.weight_decay, undecayed=(), clip=clip)
    return tx, schedule


def _unstacked(models: Variables) -> list[Variables]:
    count = len(jax.tree.leaves(models)[0])
    return [jax.tree.map(lambda a, i=i: a[i], models) for i in range(count)]
