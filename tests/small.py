"""A model and clouds small enough to train in a test."""

import pathlib
import pickle
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.experiments.config import default
from point_ft_jax.models import Model, create_model
from point_ft_jax.training import optimizer, schedules, step

ROOT = pathlib.Path(__file__).parents[1]
GEOMETRY = {'width': 12, 'heads': 2, 'depth': 2, 'num_groups': 8, 'group_size': 4}
CLASSES = ('ball', 'stick', 'plate')


def build(method: str = 'dapt', backbone: str = 'recon', **options: Any) -> Model:
    """A model of two narrow blocks."""
    geometry = {**GEOMETRY, **options.pop('geometry', {})}
    if method == 'dapt':
        options.setdefault('method_options', {'rank': 4})
    options = {'batch_norm': 'update', **options}
    return create_model(backbone, 3, method=method, geometry=geometry, **options)


def split(size: int, seed: int, points: int = 32) -> Split:
    """Clouds of three classes that differ by their proportions."""
    r = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    axes = np.array([[1, 1, 1], [0.1, 1, 0.1], [1, 0.1, 1]])[labels]
    clouds = r.standard_normal((size, points, 3)) * axes[:, None] * 0.4
    return Split(clouds.astype(np.float32), labels.astype(np.int32), CLASSES)


def splits() -> dict[str, Split]:
    """48 clouds to train on, 12 to choose by, 12 to test on."""
    return {'train': split(48, 0), 'validation': split(12, 1), 'test': split(12, 2)}


def recipe(built: Model, epochs: int = 4, steps: int = 6, **options: Any) -> step.Recipe:
    """Its training step: warm-up, cosine, scale and translation."""
    schedule = schedules.make_schedule(
        'cosine_by_step', 5e-3, epochs=epochs, warmup=1, steps_per_epoch=steps
    )
    return step.Recipe(
        module=built.module,
        tx=optimizer.make(schedule, weight_decay=0.05, clip=10.0, undecayed=built.undecayed),
        schedule=schedule,
        num_points=32,
        augment=augment.named('scale_translate'),
        mesh=make_mesh(),
        **options,
    )


def start(built: Model, seed: int = 0) -> tuple[dict[str, trees.Tree], trees.Tree]:
    """Fresh variables, and the tree of what trains."""
    variables = built.init(jax.random.key(seed))
    return variables, trees.select(variables['params'], built.method.trainable)


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """Two epochs of a very small model on a few embedded shapes."""
    config = default()
    config.name = 'tiny'
    config.folder = str(folder)
    config.points = 64
    config.data.update(style='cad', num_points=64, train_size=60, test_size=30)
    config.model.geometry.update(
        width=12, heads=2, depth=1, num_groups=8, group_size=4, drop_path=0.0
    )
    config.method.update(name='dapt', options=ConfigDict({'rank': 2}))
    config.train.update(epochs=2, batch_size=15, fewest_steps=0)
    config.optim.warmup = 1
    config.update_from_flattened_dict(changes)
    return config


def official(root: pathlib.Path, ways: int = 5, shots: int = 10, folds: int = 10) -> None:
    """Folds in the official layout: pickles of (points and normals, label, class)."""
    folder = root / f'{ways}way_{shots}shot'
    folder.mkdir(parents=True)
    r = np.random.default_rng(0)

    def entries(size: int) -> list:
        return [
            (r.standard_normal((32, 6)).astype(np.float32), label, 7 + label)
            for label in range(ways)
            for _ in range(size)
        ]

    for number in range(folds):
        with open(folder / f'{number}.pkl', 'wb') as file:
            pickle.dump({'train': entries(shots), 'test': entries(20)}, file)
