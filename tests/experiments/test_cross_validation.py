"""Cross-validation of the number of epochs."""

import pathlib

import numpy as np
import pytest
from small import tiny

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split, folds
from point_ft_jax.experiments import build
from point_ft_jax.experiments.jobs import _cross_validation as crossing
from point_ft_jax.experiments.jobs import finetune


def split(sizes: tuple[int, ...]) -> Split:
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    points = np.random.default_rng(0).normal(size=(len(labels), 8, 3)).astype(np.float32)
    names = tuple(f'{k}' for k in range(len(labels)))
    return Split(points, labels, tuple('abc'[: len(sizes)]), names=names)


def test_every_cloud_is_left_out_once_and_classes_are_spread_evenly() -> None:
    whole = split((7, 5, 10))
    pairs = folds(whole, 5, seed=3)
    assert sorted(name for _, held in pairs for name in held.names) == sorted(whole.names)
    for training, held in pairs:
        assert not set(training.names) & set(held.names)
        counts = np.bincount(held.labels, minlength=3)
        assert (counts >= [1, 1, 2]).all()
        assert (counts <= [2, 1, 2]).all()


def test_a_class_with_fewer_clouds_than_folds_is_named() -> None:
    with pytest.raises(UserError, match=r'expected 2 or more.*such as b \(4\)'):
        folds(split((7, 4)), 5, seed=0)


def test_the_epoch_is_the_best_by_the_mean_of_all_clouds_and_of_equals_the_last() -> None:
    histories = [{1: 0.5, 2: 1.0, 3: 1.0}, {1: 1.0, 2: 0.5, 3: 0.5}]
    assert crossing._best(histories, [2, 2]).epoch == 3
    assert crossing._best(histories, [1, 3]).epoch == 1


def test_few_held_out_clouds_are_warned_of_with_what_to_do(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    config = tiny(tmp_path, **{'validation.fraction': 0.25})
    splits = build.load_splits(config)
    build.say_few(config, splits)
    said = capsys.readouterr().err
    assert '15 clouds are held out to choose the epoch, of bag (1), ' in said
    assert 'fewer than 5: the choice is chancy; --config.validation.folds=4 chooses' in said
    config.population = 2
    build.say_few(config, splits)
    assert 'a larger --config.validation.fraction holds out more' in capsys.readouterr().err


def test_small_data_have_small_batches_unless_they_are_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    config = tiny(tmp_path, **{'train.fewest_steps': 8})
    assert build.with_batch_for(config, 45).train.batch_size == 8
    said = capsys.readouterr().err
    assert said.startswith('batches of 8 in place of 15, since there are 45 training clouds')
    assert build.with_batch_for(config, 5).train.batch_size == 5
    config.train.fewest_steps = 0
    assert build.with_batch_for(config, 45) is config


def test_it_needs_a_validation_score_to_choose_by(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path, **{'validation.folds': 3, 'select': 'last_epoch'})
    with pytest.raises(UserError, match=r'validation\.folds choose the epoch'):
        finetune.run(config)


@pytest.mark.slow
def test_the_final_model_trains_on_all_clouds_to_the_chosen_epoch(tmp_path: pathlib.Path) -> None:
    report = finetune.run(tiny(tmp_path, **{'validation.folds': 2}))
    section = next(s for s in report.sections if s.title == 'Cross-validation')
    text = section.blocks[0]
    last = report.record.seeds[0].last.epoch
    assert f'best at epoch {last} ' in text
    assert report.record.seeds[0].chosen.epoch == last
    assert len(section.blocks[1].rows) == 2
