"""From the config of the robust experiment to what its models are measured on and probed with."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions, features, inference
from point_ft_jax.experiments import build
from point_ft_jax.models.model import Model
from point_ft_jax.training import optimizer, probe, schedules
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.weight_space import batch_statistics

Probe = Callable[[Variables, np.ndarray, str], Variables]


@dataclasses.dataclass(frozen=True)
class Clouds:
    """Labelled clouds as a model is tested on them: points [S, n, 3], labels [S]."""

    points: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the models of one setting and seed are measured on, and how their heads are probed.

    Attributes:
        target: 'train', 'validation' and 'test' of the data that was fine-tuned on.
        corrupted: corruption -> severity -> the target's test clouds corrupted.
        probe: (a model, what its head reads of the training clouds [S, F], a name for its files)
            to the variables of a head that was trained on it.
    """

    target: Mapping[str, Clouds]
    corrupted: Mapping[str, Mapping[int, Clouds]]
    probe: Probe


def make_bench(
    config: ConfigDict, built: Model, start_head: Variables, folder: pathlib.Path, seed: int
) -> Bench:
    """The bench of one fine-tuned model.

    Args:
        config: of the experiment, its data being the setting's.
        built: the model.
        start_head: what probing starts from.
        folder: where probing through the backbone keeps its checkpoints.
        seed: of probing.
    """
    splits = build.load_splits(config)
    return Bench(
        target={name: prepared(split, config.points) for name, split in splits.items()},
        corrupted=_corrupted(config, splits['test']),
        probe=_prober(config, built, start_head, splits['train'], folder, seed),
    )


def make_reestimate(
    config: ConfigDict, built: Model, seed: int
) -> Callable[[Variables], Variables]:
    """Stacked variables to their statistics on the training clouds, augmented as in training."""
    points = prepared(build.load_splits(config)['train'], config.points).points
    seen = augment.named(config.train.augment)(jax.random.key(seed), jnp.asarray(points))
    order = np.random.default_rng([seed, 0]).permutation(len(points))
    seen = np.asarray(seen)[order[: config.wise.reestimate_clouds]]
    reestimate = _reestimate(built.module, make_mesh(), config.wise.batch_size)
    return lambda variables: reestimate(variables, seen)


# The program is made once a module: settings and seeds share it.
_reestimate = functools.cache(batch_statistics.make_reestimate)


def prepared(split: Split, num_points: int) -> Clouds:
    """The clouds of a split with so many points."""
    return Clouds(inference.prepare(split.points, num_points), split.labels)


def _corrupted(config: ConfigDict, test: Split) -> dict[str, dict[int, Clouds]]:
    """The test clouds as the model sees them, corrupted, with as many points as that leaves."""
    suite = config.corruptions.suite
    if not suite:
        return {}
    c = config.corruptions
    _, found = corruptions.regenerate(test, suite, c.severities, c.clouds, config.points)
    return {
        name: {s: prepared(split, split.points.shape[1]) for s, split in levels.items()}
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

    def on_features(_: Variables, seen: np.ndarray, name: str) -> Variables:
        heads = probe.train_heads(
            built.module.head,
            features.stack(jax.tree.map(np.asarray, start_head)),
            seen[None],
            train.labels,
            _optimizer(config, len(train))[0],
            epochs=config.probe.epochs,
            batch_size=config.probe.batch_size,
            seed=seed,
            smoothing=config.train.smoothing,
        )
        return jax.tree.map(lambda leaf: leaf[0], heads)

    def through_backbone(model: Variables, _: np.ndarray, name: str) -> Variables:
        return _probe_through(config, built, model, start_head, train, folder / name, seed)

    return on_features if config.probe.augment == 'none' else through_backbone


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
    model = trees.with_part(model, 'head', start_head)
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
    return trees.part_of(fitted.variables, 'head')


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
