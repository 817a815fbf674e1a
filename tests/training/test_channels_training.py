"""Training on more than x, y, z: what it is worth, and that it costs nothing where it is absent."""

import jax
import numpy as np
import pytest
import small

from point_ft_jax.core import trees
from point_ft_jax.data.datasets.shapes import load
from point_ft_jax.models import Model
from point_ft_jax.training import step


def coloured(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds [S, 64, 6] of embedded shapes, and the labels: which of three colours they have.

    Which shape a cloud is has nothing to do with its colour.
    """
    r = np.random.default_rng(seed)
    shapes = load('train', style='cad', seed=seed, train_size=size, num_points=64)
    labels = r.permutation(np.arange(size) % 3)
    colours = np.eye(3)[labels][:, None] + 0.1 * r.random(shapes.points.shape)
    clouds = np.concatenate([shapes.points, colours], axis=-1)
    return clouds.astype(np.float32), labels.astype(np.int32)


def trained(
    built: Model, variables: dict, clouds: np.ndarray, labels: np.ndarray, steps: int
) -> dict:
    """The variables after so many steps on a batch."""
    recipe = small.recipe(built, epochs=2, steps=steps)
    tree = variables['params']
    moving, frozen = trees.partition(tree, trees.select(tree, built.method.trainable))
    state = step.start(recipe, moving, variables['batch_stats'])
    key = jax.random.key(0)
    run = jax.jit(lambda state: step.step(recipe, state, frozen, clouds, labels, key)[0])
    for _ in range(steps):
        state = run(state)
    return {
        'params': trees.combine(state.trainable, frozen),
        'batch_stats': state.batch_stats,
    }


@pytest.mark.slow
def test_channels_of_zero_with_frozen_new_weights_change_no_bit() -> None:
    """The backbone is frozen, and the file that it comes from knows x, y, z alone."""
    clouds, labels = coloured(15, 0)
    clouds[..., 3:] = 0
    narrow, wide = small.build('dapt'), small.build('dapt', geometry={'input_channels': 6})
    variables = narrow.init(jax.random.key(0))
    full = small.build('full')
    parts = {name: {**tree, 'tuner': {}} for name, tree in variables.items()}
    state = full.export({n: {k: v for k, v in t.items() if v} for n, t in parts.items()})
    loaded, report = wide.load_backbone(wide.init(jax.random.key(1)), state, 'of x, y, z')
    assert len(report.widened) == 1
    for name, tree in variables.items():
        loaded[name] = {**tree, 'backbone': loaded[name]['backbone']}
    before = trained(narrow, variables, clouds[..., :3], labels, 3)
    after = trained(wide, loaded, clouds, labels, 3)
    kernel = after['params']['backbone']['tokenizer']['first_0']['kernel']
    assert not kernel[3:].any()
    for part in ('tuner', 'head'):
        jax.tree.map(np.testing.assert_array_equal, before['params'][part], after['params'][part])


@pytest.mark.slow
def test_colours_tell_apart_what_shapes_do_not() -> None:
    accuracy = {}
    for seen in ('colours', 'grey'):
        built = small.build('full', geometry={'input_channels': 6}, head={'dropout': 0.0})
        (clouds, labels), (others, truth) = coloured(30, 0), coloured(30, 1)
        if seen == 'grey':
            clouds[..., 3:], others[..., 3:] = 0.4, 0.4
        variables = trained(built, built.init(jax.random.key(0)), clouds, labels, 40)
        logits = jax.jit(built.module.apply)(variables, others)
        accuracy[seen] = np.mean(np.argmax(logits, -1) == truth)
    assert accuracy['colours'] == 1
    assert accuracy['grey'] < 0.7
