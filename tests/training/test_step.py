"""The training step moves what trains, pays for nothing else, and does not mind how it is run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from point_ft_jax.core import trees
from point_ft_jax.training import costs, loop, population
from point_ft_jax.training.population import Population, Training, start_training
from point_ft_jax.training.resume import Checkpoints


def started(method: str, **options: Any) -> Training:
    """A small model before its first step."""
    built = small.build(method, **options)
    variables, trainable = small.start(built)
    return start_training(small.recipe(built), Population.of_one(), [variables], trainable, 6)


def compiled(method: str, device_bytes: int = 2**30, **options: Any) -> tuple:
    """A small model before its first step, a compiled epoch, its order and its cost."""
    training = started(method, **options)
    order = training.population.epoch_order(0, 48, 8)
    advance, cost = loop.compile_epoch(training, small.split(48, 0), order, device_bytes)
    return training, advance, order, cost


def as_bytes(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    'method', ['linear_probe', *(pytest.param(m, marks=pytest.mark.slow) for m in ('dapt', 'full'))]
)
def test_everything_that_trains_moves(method: str) -> None:
    training, advance, order, _ = compiled(method)
    before = jax.tree.map(np.array, training.state.trainable)
    training = advance(training, order, 0, 3)
    after = trees.flatten(training.state.trainable)
    stuck = [
        path for path, leaf in trees.flatten(before).items() if np.array_equal(leaf, after[path])
    ]
    assert stuck == []
    assert training.steps_done == 3
    losses = np.asarray(training.logs['train_loss'])
    assert np.isfinite(losses[:3]).all()
    assert (losses[3:] == 0).all()


@pytest.mark.parametrize('device_bytes', [0, 2**30])
def test_how_an_epoch_is_cut_into_calls_changes_no_bit(device_bytes: int) -> None:
    training, advance, order, _ = compiled('dapt', device_bytes)
    parts = training.replace(*jax.tree.map(jnp.copy, (training.state, training.logs)))
    whole = advance(training, order, 0, 6)
    for first, last in ((0, 1), (1, 4), (4, 6)):
        parts = advance(parts, order, first, last)
    assert as_bytes((whole.state, whole.logs)) == as_bytes((parts.state, parts.logs))


def test_streaming_gives_the_numbers_of_the_loop_on_the_device() -> None:
    results = []
    for device_bytes in (0, 2**30):
        training, advance, order, _ = compiled('dapt', device_bytes)
        results.append(advance(training, order, 0, 6).logs)
    for name, values in results[0].items():
        np.testing.assert_allclose(values, results[1][name], rtol=1e-4, atol=1e-6)


def test_an_epoch_is_a_shuffle_in_whole_batches_that_depends_on_seed_and_epoch() -> None:
    order = population.epoch_order(1, 2, 50, 8)
    assert order.shape == (6, 8)
    assert len(np.unique(order)) == 48
    assert order.max() < 50
    np.testing.assert_array_equal(order, population.epoch_order(1, 2, 50, 8))
    assert not np.array_equal(order, population.epoch_order(1, 3, 50, 8))


@pytest.mark.slow
def test_frozen_statistics_are_held_or_updated_as_asked() -> None:
    for hold in (True, False):
        training, advance, order, _ = compiled('linear_probe', geometry={'hold_statistics': hold})
        before = as_bytes(training.state.batch_stats['backbone'])
        after = as_bytes(advance(training, order, 0, 2).state.batch_stats['backbone'])
        assert (after == before) == hold


@pytest.mark.slow
def test_what_is_frozen_costs_no_gradient_no_state_and_no_activations() -> None:
    """By XLA's own analysis of the compiled steps.

    Probing differentiates only what is behind the backbone's frozen maps; DAPT needs the gradient
    with respect to activations, but not with respect to weights: two thirds of full's products.
    """
    wide = {'width': 48}
    cost, state_bytes = {}, {}
    for method in ('full', 'dapt', 'linear_probe'):
        options = {'method_options': {'rank': 2}} if method == 'dapt' else {}
        geometry = {**wide, 'hold_statistics': method != 'full'}
        training, _, _, bytes_of = compiled(method, geometry=geometry, **options)
        flops = costs.step_flops(training, small.split(48, 0), np.arange(8))
        cost[method] = {**bytes_of, 'flops_per_step': flops}
        state_bytes[method] = trees.size_bytes(training.state.opt_state)
    flops = {method: c['flops_per_step'] for method, c in cost.items()}
    memory = {method: c['temporary_bytes'] for method, c in cost.items()}
    assert flops['dapt'] < 0.8 * flops['full']
    assert flops['linear_probe'] < 0.8 * flops['full']
    assert memory['dapt'] < memory['full']
    assert memory['linear_probe'] < 0.8 * memory['full']
    assert state_bytes['dapt'] < 0.5 * state_bytes['full']
    assert state_bytes['linear_probe'] < 0.5 * state_bytes['full']


@pytest.mark.slow
@pytest.mark.parametrize('method', ['dapt', 'full'])
def test_less_memory_takes_more_operations_and_changes_nothing(method: str) -> None:
    """Of tiny blocks no product sums over enough to be kept: 'balanced' is as 'least' here."""
    found = {}
    for memory in ('fast', 'least'):
        geometry = {'depth': 1, 'memory': memory, 'hold_statistics': method != 'full'}
        training, split = started(method, geometry=geometry), small.split(8, 0)
        flops = costs.step_flops(training, split, np.arange(8))
        step = jax.jit(functools.partial(population.step_population, training.recipe))
        arrays = training.population, training.state, training.frozen
        after, _ = step(*arrays, split.points, split.labels)
        found[memory] = flops, after.trainable
    assert found['least'][0] > 1.005 * found['fast'][0]
    for a, b in zip(*(jax.tree.leaves(trainable) for _, trainable in found.values()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_memory_left_to_the_device_is_the_first_choice_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, split = started('dapt'), small.split(48, 0)
    order = training.population.epoch_order(0, 48, 8)
    assert training.recipe.module.backbone.memory == 'auto'
    tried = []

    def compile_loop(training: Training, *_: object) -> tuple[str, dict[str, float]]:
        tried.append(training.recipe.module.backbone.memory)
        takes = {'fast': 900, 'balanced': 500, 'least': 100}[tried[-1]]
        return tried[-1], {'argument_bytes': 100, 'temporary_bytes': takes}

    monkeypatch.setattr(loop, '_compile_loop', compile_loop)
    for limit, chosen in ((None, 'fast'), (1000, 'fast'), (999, 'balanced'), (10, 'least')):
        monkeypatch.setattr(loop, 'memory_bytes', lambda limit=limit: limit)
        assert loop.compile_epoch(training, split, order, 2**30)[0] == chosen
    assert tried == ['fast', 'fast', 'fast', 'balanced', 'fast', 'balanced', 'least']


def test_bfloat16_computes_in_it_and_keeps_weights_and_statistics_in_float32() -> None:
    training, split = started('full', geometry={'depth': 1}, dtype='bfloat16'), small.split(8, 0)
    step = jax.jit(functools.partial(population.step_population, training.recipe))
    arrays = training.population, training.state, training.frozen
    text = step.lower(*arrays, split.points, split.labels).as_text()
    products = [line for line in text.splitlines() if 'stablehlo.dot_general' in line]
    # The first map of the MLP, [12, 48], and the gradient of its weights.
    assert any('tensor<12x48xbf16>' in line for line in products)
    assert not any('tensor<12x48xf32>' in line for line in products)
    after, scalars = jax.eval_shape(step, *arrays, split.points, split.labels)
    for part in (after.trainable, after.batch_stats, after.opt_state, scalars):
        for leaf in jax.tree.leaves(part):
            assert leaf.dtype in (jnp.float32, jnp.int32)


def test_the_average_follows_the_weights_and_is_what_is_kept() -> None:
    built = small.build('linear_probe')
    variables, trainable = small.start(built)
    recipe = small.recipe(built, ema=0.5)
    training = start_training(recipe, Population.of_one(), [variables], trainable, 6)
    order = training.population.epoch_order(0, 48, 8)
    advance, _ = loop.compile_epoch(training, small.split(48, 0), order, 2**30)
    expected = jax.tree.map(np.array, training.state.trainable)
    for t in range(6):
        training = advance(training, order, t, t + 1)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = jax.tree.map(
            lambda a, w, d=decay: d * a + (1 - d) * np.array(w), expected, training.state.trainable
        )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7),
        training.state.weights,
        expected,
    )
    with Checkpoints(None, 1, steps=1) as checkpoints:
        checkpoints.save_best(training, [True], 1)
        best, _ = checkpoints.best(training)
    assert as_bytes(best) == as_bytes(training.state.weights)
    assert as_bytes(best) != as_bytes(training.state.trainable)
