"""Fitting: selection, checkpoints, and resuming to the same bits after any kind of end."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import small

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.training import metrics_log
from point_ft_jax.training.fit import fit
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.interrupt import Stopped
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.resume import Checkpoints

PLAN = TrainingPlan(epochs=4, batch_size=8, save_every_seconds=0.0)
LONG = TrainingPlan(epochs=150, batch_size=8, save_every_seconds=0.0)


def run(
    folder: pathlib.Path | None,
    plan: TrainingPlan = PLAN,
    show=lambda *_, **__: None,
    method: str = 'linear_probe',
) -> Fitted:
    built = small.build(method, geometry={'hold_statistics': True})
    variables, trainable = small.start(built)
    return fit(small.recipe(built), variables, trainable, small.splits(), plan, folder, show)


def bits(fitted: Fitted) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(fitted.variables)]


def lines(folder: pathlib.Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k != 'timing'} for line in metrics_log.read(folder)]


@pytest.mark.slow
def test_a_small_model_learns_three_shapes() -> None:
    fitted = run(None, TrainingPlan(epochs=12, batch_size=8), method='dapt')
    confusion = fitted.records['chosen'].confusion
    assert confusion.sum() == 12
    assert np.trace(confusion) >= 9
    assert fitted.records['last'].epoch == 12
    assert fitted.cost['flops_per_step'] > 0


@pytest.mark.parametrize(
    'number', [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path: pathlib.Path, number: int) -> None:
    straight = run(tmp_path / 'straight')

    def stop(epoch: float, **_: object) -> None:
        if epoch == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match='the state is saved') as stopped:
        run(tmp_path / 'stopped', show=stop)
    assert stopped.value.signal == number
    resumed = run(tmp_path / 'stopped')
    assert bits(resumed) == bits(straight)
    assert lines(tmp_path / 'stopped') == lines(tmp_path / 'straight')
    for kind, record in straight.records.items():
        assert resumed.records[kind].epoch == record.epoch
        np.testing.assert_array_equal(resumed.records[kind].confusion, record.confusion)


@pytest.mark.slow
def test_a_kill_between_two_saves_leaves_the_epoch_that_the_records_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(tmp_path / 'straight')
    best = straight.records['chosen'].epoch
    save_best = Checkpoints.save_best

    def killed(self: Checkpoints, training: object, improved: list[bool], epoch: int) -> None:
        if epoch == best:
            raise SystemExit('killed')
        save_best(self, training, improved, epoch)

    monkeypatch.setattr(Checkpoints, 'save_best', killed)
    with pytest.raises(SystemExit):
        run(tmp_path / 'killed')
    monkeypatch.undo()
    resumed = run(tmp_path / 'killed')
    assert resumed.records['chosen'].epoch == best
    assert bits(resumed) == bits(straight)


def test_a_finished_fit_is_read_back(tmp_path: pathlib.Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert bits(first) == bits(second)
    assert second.cost == first.cost


def test_the_papers_protocol_chooses_on_the_test_split(tmp_path: pathlib.Path) -> None:
    fitted = run(tmp_path, TrainingPlan(epochs=4, batch_size=8, select='best_test_epoch'))
    accuracies = [line['test_accuracy'] for line in lines(tmp_path)]
    for kind in ('chosen', 'best_test'):  # of equal epochs the last, and the first
        assert max(accuracies) == accuracies[fitted.records[kind].epoch - 1]


@pytest.mark.slow
def test_only_what_trains_differs_from_the_start() -> None:
    built = small.build(geometry={'hold_statistics': True})
    variables, trainable = small.start(built)
    fitted = fit(small.recipe(built), variables, trainable, small.splits(), PLAN)
    before = trees.partition(variables['params'], trainable)[1]
    after = trees.partition(fitted.variables['params'], trainable)[1]
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)


KILLED = """
import pathlib, sys
import jax
jax.config.update('jax_compilation_cache_dir', sys.argv[2])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
jax.config.update('jax_disable_most_optimizations', True)  # as conftest has it: other bits else
import test_fit
print('started', flush=True)
test_fit.run(pathlib.Path(sys.argv[1]), test_fit.LONG, method='dapt')
print('finished', flush=True)
"""


@pytest.mark.slow
def test_ten_kills_at_random_moments_leave_the_metrics_of_an_uninterrupted_fit(
    tmp_path: pathlib.Path,
) -> None:
    straight = run(tmp_path / 'straight', LONG, method='dapt')
    here = pathlib.Path(__file__).parent
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, (here, here.parent, here.parents[1]))),
    }
    command = [sys.executable, '-c', KILLED, str(tmp_path / 'killed'), str(tmp_path / 'cache')]
    r = random.Random(0)
    reached = []
    for _ in range(10):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            # At random from the start on, half of them after it has come further.
            written = tmp_path / 'killed' / metrics_log.FILE
            before = len(metrics_log.read(written)) if written.exists() else 0
            while len(reached) % 2 and process.poll() is None:
                if written.exists() and len(metrics_log.read(written)) > before:
                    break
                time.sleep(0.05)
            time.sleep(r.uniform(0.0, 1.5) if len(reached) % 2 else r.uniform(0.5, 6.0))
            assert process.poll() is None, 'it ended before it was killed: make LONG longer'
            process.kill()
        reached.append(len(metrics_log.read(written)) if written.exists() else 0)
    assert max(reached) > 0
    resumed = run(tmp_path / 'killed', LONG, method='dapt')
    assert bits(resumed) == bits(straight)
    assert lines(tmp_path / 'killed') == lines(tmp_path / 'straight')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'select': 'luck'}, "select is 'luck'; expected one of validation"),
        ({'batch_size': 100}, '48 training clouds do not fill one batch of 100'),
    ],
)
def test_mistakes_are_said(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(None, TrainingPlan(**{'epochs': 1, 'batch_size': 8, **change}))


def test_a_selection_without_its_split_is_said() -> None:
    built = small.build()
    variables, trainable = small.start(built)
    only = {'train': small.split(48, 0)}
    with pytest.raises(UserError, match='there is no validation split: hold training clouds out'):
        fit(small.recipe(built), variables, trainable, only, PLAN)


def test_clouds_with_too_few_points_are_said() -> None:
    built = small.build()
    variables, trainable = small.start(built)
    few = {**small.splits(), 'test': small.split(12, 2, points=16)}
    with pytest.raises(UserError, match='takes 32 points and the clouds of test have 16'):
        fit(small.recipe(built), variables, trainable, few, PLAN)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_fit() -> None:
    built = small.build()
    variables, trainable = small.start(built)
    broken = small.splits()
    broken['train'].points[:] = np.nan
    with pytest.raises(UserError, match='the training loss of epoch 1 is nan: lower'):
        fit(small.recipe(built), variables, trainable, broken, PLAN)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: pathlib.Path) -> None:
    run(tmp_path)
    built = small.build('full')
    variables, trainable = small.start(built)
    with pytest.raises(UserError, match='saved by a run of another model or method'):
        fit(small.recipe(built), variables, trainable, small.splits(), PLAN, tmp_path)
