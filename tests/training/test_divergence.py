"""What is not finite: caught in its step, named, and neither saved nor ranked."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.store import CheckpointStore
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.training import metrics_log
from point_ft_jax.training.fit import _Fit, fit, fit_population
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.population import Member, epoch_order

PLAN = TrainingPlan(epochs=3, batch_size=8, save_every_seconds=1e9)
STEPS = 6


@pytest.fixture(scope='module')
def parts() -> tuple:
    built = small.build('linear_probe', geometry={'hold_statistics': True})
    return (small.recipe(built, epochs=3), *small.start(built))


def with_a_broken_cloud(row: int) -> dict[str, Split]:
    """Splits in which one cloud to train on has NaN."""
    splits = small.splits()
    splits['train'].points[row] = np.nan
    names = tuple(f'scan_{i}.ply' for i in range(48))
    return {**splits, 'train': dataclasses.replace(splits['train'], names=names)}


def step_of(row: int, epoch: int) -> int:
    """The step of an epoch, counted from 1, in which a cloud is trained on; 0 for none."""
    found = np.argwhere(epoch_order(0, epoch - 1, 48, 8) == row)
    return int(found[0, 0]) + 1 if len(found) else 0


@pytest.mark.parametrize('device_bytes', [2**30, pytest.param(0, marks=pytest.mark.slow)])
def test_a_step_that_is_not_finite_ends_the_fit_in_the_state_before_it(
    parts: tuple, tmp_path: pathlib.Path, device_bytes: int
) -> None:
    recipe, variables, trainable = parts
    row, plan = 5, dataclasses.replace(PLAN, device_bytes=device_bytes)
    number = step_of(row, 1)
    with pytest.raises(UserError) as error:
        fit(recipe, variables, trainable, with_a_broken_cloud(row), plan, tmp_path)
    said = str(error.value)
    assert 'the training loss of epoch 1 is nan: lower config.optim.lr, warm up' in said
    assert f'step {number} of {STEPS} (step {number} of training)' in said
    assert 'head/' in said
    assert 'clouds 5 (scan_5.ply) have points that are not finite' in said
    assert f'the state of step {number - 1} in last/' in said
    with CheckpointStore(tmp_path / 'last') as store:
        assert store.step() == number - 1
        assert trees.nonfinite(store.restore_any()) == []
    with pytest.raises(UserError, match=f'step {number} of training'):  # the same, at once
        fit(recipe, variables, trainable, with_a_broken_cloud(row), plan, tmp_path)


def test_the_steps_before_one_that_is_not_finite_are_as_they_would_be(
    parts: tuple, tmp_path: pathlib.Path
) -> None:
    recipe, variables, trainable = parts
    with pytest.raises(UserError):
        fit(recipe, variables, trainable, with_a_broken_cloud(5), PLAN, tmp_path / 'broken')
    found = {}

    def look(epoch: float, **_: object) -> None:
        found['epoch'] = epoch

    short = dataclasses.replace(PLAN, epochs=1, select='last_epoch')
    fit(recipe, variables, trainable, small.splits(), short, tmp_path / 'sound', look)
    with (
        CheckpointStore(tmp_path / 'broken' / 'last') as broken,
        CheckpointStore(tmp_path / 'sound' / 'last') as sound,
    ):
        number = broken.step()
        losses = [store.restore_any()[1]['train_loss'] for store in (broken, sound)]
    np.testing.assert_array_equal(losses[0][:number], losses[1][:number])
    assert found['epoch'] == 1


def test_a_state_that_is_not_finite_after_an_epoch_is_neither_saved_nor_ranked(
    parts: tuple, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_epoch = _Fit._end_epoch

    def injected(self: _Fit, epoch: int) -> None:
        if epoch == 2:
            state = self._training.state
            bad = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), state.trainable)
            self._training = self._training.replace(
                state.replace(trainable=bad), self._training.logs
            )
        end_epoch(self, epoch)

    monkeypatch.setattr(_Fit, '_end_epoch', injected)
    with pytest.raises(UserError, match=r'the state after step 12 is not finite, in \d+ leaves'):
        fit(*parts, small.splits(), PLAN, tmp_path)
    for name, step in (('last', STEPS), ('best', 1)):
        with CheckpointStore(tmp_path / name) as store:
            assert store.step() == step
            assert trees.nonfinite(store.restore_any()) == []
    monkeypatch.undo()
    fit(*parts, small.splits(), PLAN, tmp_path)
    assert len(metrics_log.read(tmp_path)) == 3


@pytest.mark.slow
def test_one_member_that_diverges_leaves_the_others_as_they_would_be(
    parts: tuple, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    recipe, variables, trainable = parts

    def run(rates: list[float], folder: pathlib.Path, epochs: int = 3) -> list:
        members = [Member(0, rate) for rate in rates]
        folders, plan = (
            [folder / f'{rate}' for rate in rates],
            dataclasses.replace(PLAN, epochs=epochs),
        )
        starts = [variables] * len(members)
        return fit_population(
            recipe, starts, trainable, small.splits(), plan, members, folder, folders, False
        )

    with pytest.raises(UserError, match='the validation split at epoch 1, member 1: what the'):
        run([1.0, 1e30, 0.5], tmp_path / 'at_once')
    run([1.0, 2.0, 0.5], tmp_path / 'a', 1)
    (tmp_path / 'a' / '2.0').rename(tmp_path / 'a' / '1e+30')
    capsys.readouterr()
    found, alone = run([1.0, 1e30, 0.5], tmp_path / 'a'), run([1.0, 0.5], tmp_path / 'b')
    said = capsys.readouterr().err
    assert said.count('of member 1 of epoch 2 is') == 1
    assert 'It stops there, and the others go on' in said
    for one, other in zip((found[0], found[2]), alone, strict=True):
        assert one.records['chosen'].epoch == other.records['chosen'].epoch
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            one.variables['params']['head'],
            other.variables['params']['head'],
        )
    assert trees.nonfinite(found[1].variables) == []
    assert found[1].records['last'].epoch == 1
    assert metrics_log.read(tmp_path / 'a' / '1e+30')[-1]['train_loss'] is None


def test_answers_that_are_not_finite_are_not_scored(parts: tuple, tmp_path: pathlib.Path) -> None:
    recipe, variables, trainable = parts
    splits = small.splits()
    splits['test'].points[7] = np.inf
    with pytest.raises(
        UserError, match=r'the test split at epoch 1: .* 1 of 12 clouds, the first of them cloud 7'
    ):
        fit(recipe, variables, trainable, splits, PLAN, tmp_path)
    assert not (tmp_path / 'best').exists()


def test_weights_that_are_not_finite_are_not_saved(parts: tuple, tmp_path: pathlib.Path) -> None:
    built = small.build('linear_probe')
    variables, _ = small.start(built)
    variables['params']['head']['logits']['bias'] = np.array([0, np.inf, 0], np.float32)
    tuned = TunedModel(built, variables, {'classes': small.CLASSES, 'points': 32})
    with pytest.raises(UserError, match=r'the model is not saved, .*params/head/logits/bias'):
        saved.save(tuned, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()
