"""Six optimizer steps as the references take them: decay rule, clipping, statistics and all."""

import functools

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from point_ft_jax.core import trees
from point_ft_jax.training import optimizer
from point_ft_jax.training.losses import cross_entropy

TRAJECTORIES = {'traj_dapt_s3': 'dapt', 'traj_recon_s3': 'recon'}


@pytest.mark.slow
@pytest.mark.parametrize('fixture', TRAJECTORIES)
def test_the_first_steps_in_float32(fixture: str) -> None:
    facts, losses, _, _ = follow(fixture, 'float32', steps=3)
    np.testing.assert_allclose(losses, facts['losses'][:3], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('fixture', TRAJECTORIES)
def test_all_steps_in_float64(fixture: str) -> None:
    with jax.enable_x64(True):
        facts, losses, norms, logits = follow(fixture, 'float64', steps=6)
    np.testing.assert_allclose(losses, facts['losses'], rtol=1e-3)
    np.testing.assert_allclose(norms, facts['gradient_norms'], rtol=1e-3)
    expected = np.array(facts['eval_logits'])
    assert np.abs(logits - expected).max() < 1e-3 * np.abs(expected).max()


def follow(fixture: str, dtype: str, steps: int) -> tuple[dict, list, list, np.ndarray]:
    """The fixture, and the losses, gradient norms and final logits that this project finds."""
    facts, _ = g.read(fixture)
    name = TRAJECTORIES[fixture]
    keys, _ = g.read(f'{name}_s1')
    golden = g.model(name)
    tree = g.variables(name, {**keys, 'seed': facts['seed']}, dtype)
    chosen = trees.select(tree['params'], golden.method.trainable)
    moving, frozen = trees.partition(tree['params'], chosen)
    assert trees.count(moving) == facts['trainable_parameters']
    assert set(g.torch_arrays(golden, trees.prune(moving))) == set(facts['trainable'])
    tx = optimizer.make(
        optax.constant_schedule(facts['lr']),
        weight_decay=facts['weight_decay'],
        clip=facts['clip'],
    )
    statistics, state = tree['batch_stats'], tx.init(moving)
    step = jax.jit(functools.partial(one_step, golden.module, tx))
    losses, norms = [], []
    for index in range(steps):
        points = g.clouds(8, 2048, facts['seed'] * 1000 + index).astype(dtype)
        labels = np.random.default_rng([facts['seed'], index, 11]).integers(0, 15, 8)
        moving, statistics, state, loss, norm = step(
            moving, frozen, statistics, state, points, labels
        )
        losses.append(float(loss))
        norms.append(float(norm))
    variables = {'params': trees.combine(moving, frozen), 'batch_stats': statistics}
    points = g.clouds(4, 2048, facts['seed'] * 1000).astype(dtype)
    logits = jax.jit(golden.module.apply)(variables, points) if steps == 6 else np.zeros(0)
    return facts, losses, norms, np.asarray(logits)


def one_step(
    module: object,
    tx: optax.GradientTransformation,
    moving: trees.Tree,
    frozen: trees.Tree,
    statistics: trees.Tree,
    state: optax.OptState,
    points: jax.Array,
    labels: jax.Array,
) -> tuple:
    def loss(moving: trees.Tree) -> tuple:
        logits, updates = module.apply(
            {'params': trees.combine(moving, frozen), 'batch_stats': statistics},
            points,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': jax.random.key(0)},
        )
        return jnp.mean(cross_entropy(logits, labels)), updates['batch_stats']

    (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(moving)
    updates, state = tx.update(gradients, state, moving)
    norm = optax.tree.norm(gradients)
    return optax.apply_updates(moving, updates), statistics, state, value, norm
