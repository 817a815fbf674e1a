"""Several members in one program: each as it would be alone, and kept apart."""

import dataclasses
import functools
import os
import pathlib
import signal
from collections.abc import Sequence

import jax
import numpy as np
import pytest
import small

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.evaluation import inference
from point_ft_jax.training import metrics_log
from point_ft_jax.training.fit import fit, fit_population
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.interrupt import Stopped
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.population import Member, Population, start_training, step_population

PLAN = TrainingPlan(epochs=3, batch_size=8, save_every_seconds=0.0)
MEMBERS = (Member(3), Member(4), Member(5, rate=0.5))


def start(method: str, hold: bool = True) -> tuple:
    """A small model, the variables of each member (one backbone, tuners of their own)."""
    built = small.build(method, geometry={'hold_statistics': hold})
    starts = [small.start(built, member.seed)[0] for member in MEMBERS]
    for other in starts[1:]:
        other['params']['backbone'] = starts[0]['params']['backbone']
    return built, starts, trees.select(starts[0]['params'], built.method.trainable)


def together(
    method: str = 'dapt',
    folder: pathlib.Path | None = None,
    show=lambda *_, **__: None,
    own_clouds: bool = True,
    hold: bool = True,
    members: Sequence[Member] = MEMBERS,
) -> list[Fitted]:
    built, starts, trainable = start(method, hold)
    folders = folder and [folder / f'seed_{member.seed}' for member in MEMBERS]
    return fit_population(
        small.recipe(built),
        starts,
        trainable,
        small.splits(),
        PLAN,
        members,
        folder,
        folders,
        own_clouds,
        show,
    )


@pytest.mark.parametrize(
    ('method', 'hold'),
    [
        ('linear_probe', True),
        pytest.param('bitfit', True, marks=pytest.mark.slow),
        pytest.param('full', False, marks=pytest.mark.slow),
    ],
)
def test_each_member_goes_as_it_would_alone(
    method: str, hold: bool, tmp_path: pathlib.Path
) -> None:
    """Up to rounding, which Adam's first steps make larger."""
    built, starts, trainable = start(method, hold)
    together(method, tmp_path, hold=hold)
    member = MEMBERS[1]
    plan = dataclasses.replace(PLAN, seed=member.seed)
    alone = tmp_path / 'alone'
    fit(small.recipe(built), starts[1], trainable, small.splits(), plan, alone)
    pair = metrics_log.read(tmp_path / f'seed_{member.seed}'), metrics_log.read(alone)
    for one, other in zip(*pair, strict=True):
        assert one.keys() == other.keys()
        close = 3e-2 if one['epoch'] > 1 else 2e-3
        for name in ('learning_rate', 'train_loss', 'gradient_norm', 'test_loss'):
            assert one[name] == pytest.approx(other[name], rel=close)


def test_a_member_at_half_the_rate_is_the_recipe_of_half_the_rate() -> None:
    """One step: AdamW's first update is the rate times a sign, decay apart."""
    built, starts, trainable = start('linear_probe')
    recipe = small.recipe(built)
    members = [Member(0), Member(0, rate=0.5)]
    pair = Population.of(members, built.module, own_clouds=False)
    training = start_training(recipe, pair, [starts[0]] * 2, trainable, 6)
    state = training.state
    before = jax.tree.map(np.array, state.trainable)
    data = small.split(8, 0)
    step = jax.jit(functools.partial(step_population, recipe))
    after, _ = step(pair, state, training.frozen, data.points, data.labels)
    moved = jax.tree.map(lambda a, b: np.asarray(a) - b, after.trainable, before)
    for leaf in jax.tree.leaves(moved):
        np.testing.assert_allclose(leaf[1], 0.5 * leaf[0], atol=0.1 * abs(leaf[0]).max())


@pytest.mark.slow
def test_members_that_share_clouds_and_seed_are_equal() -> None:
    built, starts, trainable = start('linear_probe')
    twins = [Member(0), Member(0)]
    fitted = fit_population(
        small.recipe(built),
        [starts[0]] * 2,
        trainable,
        small.splits(),
        PLAN,
        twins,
        own_clouds=False,
    )
    for a, b in zip(*(jax.tree.leaves(f.variables) for f in fitted), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_stopped_population_goes_on_to_the_same_bits(tmp_path: pathlib.Path) -> None:
    straight = together(folder=tmp_path / 'straight')

    def stop(epoch: float, **values: object) -> None:
        if epoch == 1 and 'loss' in values:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        together(folder=tmp_path / 'stopped', show=stop)
    resumed = together(folder=tmp_path / 'stopped')
    for a, b in zip(straight, resumed, strict=True):
        assert a.score == b.score
        for x, y in zip(*(jax.tree.leaves(f.variables) for f in (a, b)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_many_deltas_are_evaluated_in_one_call() -> None:
    built, starts, trainable = start('dapt')
    points = small.split(10, 3).points
    halves = [trees.partition(s['params'], trainable) for s in starts]
    deltas = {
        'params': trees.stack([moving for moving, _ in halves]),
        'batch_stats': trees.stack([s['batch_stats'] for s in starts], ('backbone',)),
    }
    many = inference.all_in_batches(built.module.apply, make_mesh(), 4, ('backbone',))
    found = many((deltas, halves[0][1]), points).swapaxes(0, 1)
    assert found.shape == (3, 10, 3)
    for k, variables in enumerate(starts):
        one = inference.make_predict(built.module, make_mesh(), 4)(variables, points)
        np.testing.assert_allclose(found[k], one, rtol=1e-4, atol=1e-5)


def test_stacking_and_picking_are_inverse_and_share_what_is_shared() -> None:
    members = [{'a': {'x': np.full(2, k)}, 'b': {'y': np.zeros(3)}} for k in range(3)]
    stacked = trees.stack(members, shared=('b',))
    assert stacked['a']['x'].shape == (3, 2)
    assert stacked['b']['y'] is members[0]['b']['y']
    for k, member in enumerate(members):
        again = trees.pick(stacked, k, shared=('b',))
        np.testing.assert_array_equal(again['a']['x'], member['a']['x'])
        assert again['b']['y'].shape == (3,)
    other = {**stacked, 'a': {'x': -stacked['a']['x']}}
    mixed = trees.select_members([True, False, True], stacked, other, ('b',))
    assert mixed['a']['x'][:, 0].tolist() == [0, -1, 2]
