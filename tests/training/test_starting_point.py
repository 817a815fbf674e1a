"""L2-SP: what is drawn to its start, by how much, and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small
from jax.sharding import Mesh

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import build
from point_ft_jax.experiments.config import default
from point_ft_jax.training.starting_point import l2_sp


@pytest.fixture(scope='module')
def mesh() -> Mesh:
    return make_mesh()


def tree(backbone: float, head: float) -> dict:
    return {'backbone': {'kernel': jnp.full((2, 2), backbone), 'hole': None}, 'head': head}


def test_the_penalty_is_of_the_distance_from_the_start_and_spares_the_head() -> None:
    penalty = l2_sp(0.5)
    start = penalty.init(tree(3.0, jnp.ones(1)))
    gradients = tree(1.0, jnp.full(1, 7.0))
    found, same = penalty.update(gradients, start, tree(5.0, jnp.zeros(1)))
    np.testing.assert_array_equal(found['backbone']['kernel'], 1 + 0.5 * (5 - 3))
    np.testing.assert_array_equal(found['head'], 7)
    assert found['backbone']['hole'] is None
    jax.tree.map(np.testing.assert_array_equal, same, start)


def test_descent_ends_between_the_start_and_the_optimum_by_the_strength() -> None:
    start, optimum, strength = 1.0, 4.0, 0.5
    tx = optax.chain(l2_sp(strength), optax.sgd(0.3))
    penalised = {'backbone': {'x': jnp.full(1, start)}}
    state = tx.init(penalised)
    for _ in range(60):
        gradient = jax.tree.map(lambda x: x - optimum, penalised)
        updates, state = tx.update(gradient, state, penalised)
        penalised = optax.apply_updates(penalised, updates)
    expected = (optimum + strength * start) / (1 + strength)
    np.testing.assert_allclose(penalised['backbone']['x'], expected, rtol=1e-5)


def test_a_configs_penalty_takes_the_place_of_the_backbones_decay(mesh: Mesh) -> None:
    config, built = default(), small.build('full')
    still = {part: {'kernel': jnp.ones((2, 2))} for part in ('backbone', 'head')}
    zeros = jax.tree.map(jnp.zeros_like, still)
    moved = {}
    for strength in (0.0, 0.1):
        config.optim.update(l2_sp=strength, lr=1e-3, schedule='constant')
        tx = build.make_recipe(config, built, 3, mesh).tx
        moved[strength], _ = tx.update(zeros, tx.init(still), still)
    assert float(moved[0.0]['backbone']['kernel'].max()) < 0
    assert float(jnp.abs(moved[0.1]['backbone']['kernel']).max()) == 0
    np.testing.assert_array_equal(moved[0.0]['head']['kernel'], moved[0.1]['head']['kernel'])


def test_a_penalty_of_nothing_or_below_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r'none of it trains: set config.optim.l2_sp to 0'):
        l2_sp(0.1).init({'backbone': {'kernel': None}, 'head': jnp.ones(1)})
    for strength in (-1.0, float('nan'), float('inf')):
        with pytest.raises(UserError, match='expected 0 or a positive number'):
            l2_sp(strength)
