"""A model and clouds small enough to train in a test."""

from typing import Any

import jax
import numpy as np

from point_ft_jax import augment, model, optimizer, params, train
from point_ft_jax.mesh import make_mesh
from point_ft_jax.model import Model
from point_ft_jax.split import Split

GEOMETRY = {'width': 12, 'heads': 2, 'depth': 2, 'num_groups': 8, 'group_size': 4}
CLASSES = ('ball', 'stick', 'plate')


def build(method: str = 'dapt', backbone: str = 'recon', **options: Any) -> Model:
    """A model of two narrow blocks."""
    geometry = {**GEOMETRY, **options.pop('geometry', {})}
    if method == 'dapt':
        options.setdefault('method_options', {'rank': 4})
    return model.build(backbone, method, 3, geometry=geometry, **options)


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


def recipe(built: Model, epochs: int = 4, steps: int = 6, **options: Any) -> train.Recipe:
    """Its training step: warm-up, cosine, scale and translation."""
    schedule = optimizer.make_schedule(
        'cosine_by_step', 5e-3, epochs=epochs, warmup=1, steps_per_epoch=steps
    )
    return train.Recipe(
        module=built.module,
        tx=optimizer.make(schedule, weight_decay=0.05, clip=10.0),
        schedule=schedule,
        num_points=32,
        augment=augment.named('scale_translate'),
        mesh=make_mesh(),
        **options,
    )


def start(built: Model, seed: int = 0) -> tuple[dict[str, params.Tree], params.Tree]:
    """Fresh variables, and the tree of what trains."""
    variables = built.init(jax.random.key(seed))
    return variables, params.select(variables['params'], built.method.trainable)
