"""The library without configs: fine-tune arrays, predict, evaluate, save, load, merge."""

import os
import pathlib
import signal

import numpy as np
import pytest

from point_ft_jax import (
    Split,
    UserError,
    evaluate,
    features,
    finetune,
    load_run,
    merge,
    predict,
    save,
)
from point_ft_jax.training import fit as fitting

OPTIONS = {
    'geometry': {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4},
    'batch_size': 8,
    'progress': False,
}


def clouds(size: int = 24, parts: bool = False) -> Split:
    """Balls and sticks; a point's part is its half."""
    r = np.random.default_rng(0)
    labels = np.arange(size) % 2
    shape = np.array([[1, 1, 1], [0.1, 1, 0.1]])[labels]
    points = 0.4 * r.standard_normal((size, 32, 3)) * shape[:, None]
    halves = (points[..., 1] > 0).astype(int) + 2 * labels[:, None]
    return Split.from_arrays(points, labels, ('ball', 'stick'), halves if parts else None)


def with_heights() -> Split:
    plain = clouds()
    points = np.concatenate([plain.points, plain.points[..., 1:2]], -1)
    return Split.from_arrays(points, plain.labels, plain.classes, channels=('height',))


@pytest.fixture(scope='module')
def tuned() -> object:
    return finetune(clouds(), method='lora', epochs=2, **OPTIONS)


def test_a_tuned_model_tells_its_history_its_parameters_and_its_scores(tuned: object) -> None:
    assert [line['epoch'] for line in tuned.history] == [1, 2]
    assert {'train_loss', 'train_accuracy', 'validation_accuracy'} <= tuned.history[0].keys()
    total, trainable = tuned.parameters['tuner']
    assert total == trainable > 0
    assert 0 <= tuned.scores['overall_accuracy'] <= 1
    assert 'lora, 2 classes' in repr(tuned)


def test_a_split_that_was_made_by_hand_is_scored_as_one_of_arrays(tuned: object) -> None:
    data = clouds()
    by_hand = Split(data.points.astype('>f8'), data.labels.astype(np.int64), data.classes)
    assert (evaluate(tuned, by_hand).confusion == evaluate(tuned, data).confusion).all()


def test_predictions_survive_saving_and_merging(tuned: object, tmp_path: pathlib.Path) -> None:
    data = clouds()
    expected = predict(tuned, data.points)
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
    save(tuned, tmp_path / 'run')
    loaded = load_run(tmp_path / 'run')
    assert loaded.classes == ('ball', 'stick')
    assert [dict(line) for line in loaded.history] == [dict(line) for line in tuned.history]
    np.testing.assert_array_equal(predict(loaded, data.points), expected)
    np.testing.assert_allclose(predict(merge(tuned), data.points), expected, atol=1e-5)
    with pytest.raises(UserError, match='is not empty; give a new folder'):
        save(tuned, tmp_path / 'run')


def test_points_of_small_clouds_are_repeated_where_that_is_asked_for(tuned: object) -> None:
    points = clouds().points[:, :20]
    for answer in (predict, features):
        with pytest.warns(UserWarning, match='have 20 points, of which the model takes 32: they'):
            found = answer(tuned, points, few='repeat')
        np.testing.assert_array_equal(found, answer(tuned, points[:, np.arange(32) % 20]))


def test_features_are_what_the_head_reads(tuned: object) -> None:
    assert features(tuned, clouds().points).shape == (24, 2 * 12)


@pytest.mark.slow
def test_part_labels_make_a_segmenter() -> None:
    data = clouds(parts=True)
    tuned = finetune(data, method='linear_probe', epochs=1, **OPTIONS)
    found = predict(tuned, data.points[:3], categories=data.labels[:3])
    assert found.shape == (3, 32, 4)
    assert 0 <= evaluate(tuned, data).scores()['instance_miou'] <= 1
    with pytest.raises(UserError, match='needs the category of each cloud'):
        predict(tuned, data.points)
    with pytest.raises(UserError, match='the data has no part labels'):
        evaluate(tuned, clouds())


@pytest.mark.slow
def test_training_ends_when_it_no_longer_improves() -> None:
    options = {**OPTIONS, 'lr': 1.0}  # too high to improve for long
    tuned = finetune(clouds(), method='linear_probe', epochs=40, patience=1, **options)
    assert len(tuned.history) < 40


def test_ctrl_c_returns_the_best_epoch_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    end_epoch = fitting._Fit._end_epoch

    def interrupted(fit: object, epoch: int) -> None:
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
        end_epoch(fit, epoch)

    monkeypatch.setattr(fitting._Fit, '_end_epoch', interrupted)
    tuned = finetune(clouds(), method='linear_probe', epochs=9, **OPTIONS)
    assert [line['epoch'] for line in tuned.history] == [1, 2]


@pytest.mark.slow
def test_class_weights_count_in_the_loss() -> None:
    options = {**OPTIONS, 'epochs': 1, 'method': 'linear_probe', 'augment': 'none'}
    data = clouds().take(np.r_[0:24:2, 1:12:2])
    plain, balanced = (
        finetune(data, class_weights=weights, **options).history[0]['train_loss']
        for weights in (None, 'balanced')
    )
    assert plain != balanced


MISTAKES = {
    'other points': (lambda t: predict(t, np.zeros((2, 32))), r'have shape \[2, 32\]; expected'),
    'NaN': (lambda t: predict(t, np.full((1, 32, 3), np.nan)), 'NaN or infinite coordinates'),
    'flat': (lambda t: predict(t, np.ones((1, 32, 3))), 'all points in one place'),
    'six columns': (lambda t: predict(t, np.ones((1, 32, 6))), r'keep x, y, z with points'),
    'few points': (
        lambda t: predict(t, clouds().points[:, :9]),
        "takes 32 points and the clouds have 9: give few='repeat'",
    ),
    'no batch': (lambda t: predict(t, clouds().points, batch_size=0), 'batch_size is 0; expected'),
    'categories of a classifier': (
        lambda t: predict(t, clouds().points, categories=[0] * 24),
        'categories are for part segmenters',
    ),
    'an unknown few': (lambda t: predict(t, clouds().points, few='pad'), "few is 'pad'; expected"),
    'points instead of a split': (
        lambda t: finetune(clouds().points),
        r'data is a ndarray; expected a Split, .* Split\.from_arrays\(points, labels\)',
    ),
    'points to evaluate': (lambda t: evaluate(t, clouds().points), 'split is a ndarray; expected'),
    'numbers': (
        lambda t: finetune(clouds(), epochs=0, batch_size=2.5, lr=np.nan, patience=-1, seed=-1),
        '(?s)epochs is 0; expected a whole number from 1 on.*seed is -1; expected .* from 0 on'
        '.*batch_size is 2.5;.*patience is -1;.*lr is nan; expected a number above 0',
    ),
    'a validation fraction': (
        lambda t: finetune(clouds(), validation=None),
        'the validation fraction is None; expected a number between 0 and 1',
    ),
    'validation without parts': (
        lambda t: finetune(clouds(parts=True), validation=clouds()),
        'the validation split has no part labels',
    ),
    'validation with other channels': (
        lambda t: finetune(clouds(), validation=with_heights()),
        'the validation clouds have x, y, z, height; expected x, y, z, as the data',
    ),
    'weights': (lambda t: finetune(clouds(), class_weights=[1.0]), 'class_weights are'),
    'a method': (lambda t: finetune(clouds(), method='dapd'), "did you mean 'dapt'"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str, tuned: object) -> None:
    make, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        make(tuned)
