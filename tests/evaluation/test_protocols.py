"""Judging features: SVM, neighbours, few shots, probing; equal to what they stand for."""

import dataclasses
import pathlib
import pickle
from collections.abc import Callable

import jax
import numpy as np
import pytest
import small
from small import official

from point_ft_jax.core import trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment
from point_ft_jax.data.files import array_pickle
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import features, few_shot, inference, linear_svm, neighbours
from point_ft_jax.training import probe
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan


def blobs(per_class: int, classes: int, seed: int, spread: float = 0.3) -> tuple:
    """Features [S, 8] around a centre a class, and labels."""
    centers = np.random.default_rng(7).standard_normal((classes, 8))
    labels = np.arange(per_class * classes) % classes
    noise = np.random.default_rng(seed).standard_normal((len(labels), 8))
    return (centers[labels] + spread * noise).astype(np.float32), labels.astype(np.int32)


def right(answers: Callable, train: tuple, test: tuple, **options: object) -> float:
    """The share of `test` that is answered rightly."""
    return float(np.mean(answers(train, test, **options) == test[1]))


def test_features_of_several_models_are_those_of_each_in_its_own_pass() -> None:
    built = small.build('full', head={'dropout': 0.0})
    init = built.init
    models = [init(jax.random.key(i)) for i in range(2)]
    points = small.split(7, 0).points
    readouts = {'head': built.module.readout, 'other': ('patches_mean_plus_max',)}
    extract = features.make_extract(built.module, make_mesh(), 4, readouts)
    found = extract(jax.tree.map(lambda a, b: np.stack([a, b]), *models), points)
    assert {name: value.shape for name, value in found.items()} == {
        'head': (2, 7, 24),
        'other': (2, 7, 12),
    }
    each = inference.make_predict(built.module, make_mesh(), 4, method='features')
    for i, model in enumerate(models):
        np.testing.assert_allclose(found['head'][i], each(model, points), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('continued', [False, True])
def test_heads_trained_on_features_are_those_trained_behind_the_frozen_backbone(
    continued: bool,
) -> None:
    """Where every step sees the same points: all are centres, so that their order is nothing."""
    geometry = {'num_groups': 16, 'group_size': 4, 'depth': 1, 'hold_statistics': True}
    # Without batch norm: a bias in front of one has no gradient, and Adam makes steps of its noise.
    head = {'dropout': 0.0, 'widths': (8,), 'batch_norm': False}
    built = small.build('linear_probe', geometry=geometry, head=head)
    r = np.random.default_rng(0)
    points = r.uniform(0.2, 1, (24, 16, 3)).astype(np.float32)  # none near the origin
    split = Split(points, np.arange(24, dtype=np.int32) % 3, small.CLASSES)
    variables = built.init(jax.random.key(1 + continued))
    recipe = small.recipe(built, epochs=3, steps=4)
    recipe = dataclasses.replace(recipe, num_points=16, augment=augment.named('none'))
    chosen = trees.select(variables['params'], ('head/*',))
    plan = TrainingPlan(epochs=3, batch_size=6, seed=5, select='last_epoch', evaluate_every=3)
    through = fit(recipe, variables, chosen, {'train': split}, plan).variables

    extract = features.make_extract(built.module, make_mesh(), 8, {'x': built.module.readout})
    stack = features.stack(variables)
    prepared = inference.prepare(points, 16)
    head = {name: tree.get('head', {}) for name, tree in stack.items()}
    found = probe.train_heads(
        built.module.head,
        head,
        extract(stack, prepared)['x'],
        split.labels,
        recipe.tx,
        epochs=3,
        batch_size=6,
        seed=5,
    )
    for name, tree in found.items():
        ours, theirs = trees.flatten(tree), trees.flatten(through[name].get('head', {}))
        for path, leaf in theirs.items():
            np.testing.assert_allclose(ours[path][0], leaf, rtol=2e-3, atol=2e-4, err_msg=path)
    logits = probe.head_logits(built.module.head, found, extract(stack, prepared)['x'])[0]
    np.testing.assert_allclose(
        logits,
        np.asarray(jax.jit(built.module.apply)(through, prepared)),
        rtol=2e-3,
        atol=2e-3,
    )


def test_an_svm_separates_what_is_apart_and_guesses_what_is_not() -> None:
    train, test = blobs(10, 4, 0), blobs(20, 4, 1)
    for classifier in ('LinearSVC', 'SVC'):
        assert right(linear_svm.answers, train, test, classifier=classifier, c=0.1) > 0.95
    shuffled = (train[0], np.random.default_rng(0).permutation(train[1]))
    assert right(linear_svm.answers, shuffled, test, c=0.1) < 0.6


def test_neighbours_vote() -> None:
    train, test = blobs(10, 4, 0), blobs(20, 4, 1)
    assert right(neighbours.answers, train, test, k=5) > 0.95
    line = np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])
    labels = np.array([1, 0, 0, 2])
    query = (np.array([[1.0, 0.0]]), np.array([1]))
    assert right(neighbours.answers, (line, labels), query, k=1) == 1.0
    assert (
        right(neighbours.answers, (line, labels), query, k=3) == 0.0
    )  # two of class 0 outvote the nearest
    assert right(neighbours.answers, (line, labels), query, k=2) == 1.0  # of two, the nearer


def test_folds_have_as_many_clouds_as_they_say_and_no_cloud_twice() -> None:
    train, test = np.arange(60) % 6, np.arange(90) % 6
    folds = few_shot.sample_folds(train, test, ways=4, shots=7, queries=11)
    assert len(folds) == 10
    for fold in folds:
        assert (len(fold.train), len(fold.test)) == (28, 44)
        assert len(set(fold.train)) == 28
        assert len(set(fold.classes)) == 4
        np.testing.assert_array_equal(train[fold.train], np.repeat(fold.classes, 7))
        np.testing.assert_array_equal(test[fold.test], np.repeat(fold.classes, 11))
    assert len({tuple(fold.classes) for fold in folds}) > 5
    again = few_shot.sample_folds(train, test, ways=4, shots=7, queries=11, folds=3)
    for a, b in zip(again, folds, strict=False):
        np.testing.assert_array_equal(a.train, b.train)


def test_a_fold_taken_from_splits_is_labelled_anew() -> None:
    train, test = small.split(12, 0), small.split(9, 1)
    [fold] = few_shot.sample_folds(train.labels, test.labels, ways=2, shots=3, queries=2, folds=1)
    learned, judged = few_shot.take(fold, train, test)
    assert learned.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert judged.labels.tolist() == [0, 0, 1, 1]
    assert learned.classes == tuple(small.CLASSES[k] for k in fold.classes)
    np.testing.assert_array_equal(judged.points, test.points[fold.test])


def test_a_union_halves_every_class() -> None:
    first, second = few_shot.union(small.split(12, 0), small.split(6, 1))
    assert np.bincount(first.labels).tolist() == np.bincount(second.labels).tolist() == [3, 3, 3]
    assert len({cloud.tobytes() for s in (first, second) for cloud in s.points}) == 18


def test_folds_probed_together_are_folds_probed_alone() -> None:
    train, test = blobs(12, 6, 0, 1.2), blobs(15, 6, 1, 1.2)
    folds = few_shot.sample_folds(train[1], test[1], ways=5, shots=5, queries=10, folds=3)
    two = np.stack([train[0], train[0] * 0]), np.stack([test[0], test[0] * 0])
    found = few_shot.probe_folds(*two, folds)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found[1], 0.2)  # nothing to see: one class for all
    assert 0.5 < found[0].mean() < 1
    for i, fold in enumerate(folds):
        alone = few_shot.probe(train[0][fold.train], test[0][fold.test], 5)
        np.testing.assert_allclose(found[0, i], alone, atol=0.021)


def test_features_out_of_all_range_are_not_scored() -> None:
    fold = few_shot.Fold(np.arange(2), np.arange(8), np.arange(4))
    features = np.full((8, 3), 1e30, np.float32) * np.arange(8)[:, None]
    with pytest.raises(UserError, match='a linear probe on the features has no finite answers'):
        few_shot.probe_folds(features, features[:4], [fold])


@pytest.mark.parametrize(
    'entries', [[1, 2], [([1, 2], 0)], [(np.ones((4, 6)), 0), (np.ones((5, 6)), 1)], [([], [])]]
)
def test_what_is_no_fold_is_named(entries: list, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / '2way_1shot'
    folder.mkdir()
    (folder / '0.pkl').write_bytes(pickle.dumps({'train': entries, 'test': entries}))
    with pytest.raises(UserError, match=r'0\.pkl is no list of clouds: expected entries'):
        few_shot.read_official(str(tmp_path), 2, 1, folds=1)


def test_lists_that_hold_one_another_again_and_again_are_refused(tmp_path: pathlib.Path) -> None:
    deep: list = []
    for _ in range(50):
        deep = [deep, deep]
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(deep))
    with pytest.raises(UserError, match='hold the same parts more often than it has bytes'):
        array_pickle.load(tmp_path / 'a.pkl')


def test_the_official_folds_are_read(tmp_path: pathlib.Path) -> None:
    official(tmp_path, folds=2)
    folds = few_shot.read_official(str(tmp_path), 5, 10, folds=2)
    train, test = folds[1]
    assert (len(train), len(test)) == (50, 100)
    assert train.points.shape == (50, 32, 3)
    assert train.labels.tolist() == sorted(list(range(5)) * 10)
    np.testing.assert_allclose(np.linalg.norm(test.points, axis=-1).max(1), 1, rtol=1e-5)
    with pytest.raises(UserError, match=r'lacks 8 of 10 folds: 2\.pkl, 3\.pkl'):
        few_shot.read_official(str(tmp_path), 5, 10)
    with pytest.raises(UserError, match='10way_20shot lacks 10 of 10 folds'):
        few_shot.read_official(str(tmp_path), 10, 20)


CLOUD = np.random.default_rng(0).standard_normal((32, 6))
DAMAGED = {
    'unequal clouds': ([(CLOUD, 0), (CLOUD[:9], 1)], r'train of .*0\.pkl is no list of clouds'),
    'no label': ([(CLOUD,), (CLOUD,)], 'is no list of clouds: expected entries'),
    'a label too high': ([(CLOUD, 0), (CLOUD, 5)], r'(?s)train of .*0\.pkl is damaged:.*labels'),
    'one class more often': (
        [(CLOUD, 0), (CLOUD, 0), (CLOUD, 0), (CLOUD, 1)],
        r'train of .* has \[3, 1\] clouds of its classes; expected as many of each',
    ),
    'too few': ([(CLOUD, 0), (CLOUD, 1)], 'has 2 clouds to learn from; expected 2 x 2'),
}


@pytest.mark.parametrize('fault', DAMAGED)
def test_what_is_wrong_with_an_official_fold_is_said(fault: str, tmp_path: pathlib.Path) -> None:
    entries, message = DAMAGED[fault]
    folder = tmp_path / '2way_2shot'
    folder.mkdir()
    fold = {'train': entries, 'test': [(CLOUD, 0), (CLOUD, 1)]}
    (folder / '0.pkl').write_bytes(pickle.dumps(fold))
    with pytest.raises(UserError, match=message):
        few_shot.read_official(str(tmp_path), 2, 2, folds=1)


LABELS = np.arange(30) % 3
MISTAKES = {
    'fewer shapes than shots': (
        lambda: few_shot.sample_folds(LABELS, LABELS, ways=2, shots=11, queries=5),
        '11 shots a class, but of the training clouds class 0 has 10, class 1 has 10',
    ),
    'fewer shapes than queries': (
        lambda: few_shot.sample_folds(LABELS, LABELS, ways=2, shots=5, queries=20),
        '20 queries a class, but of the test clouds class 0 has 10',
    ),
    'fewer classes than ways': (
        lambda: few_shot.sample_folds(LABELS, LABELS, ways=5, shots=5, queries=5),
        '5 ways, but the clouds are of 3 classes',
    ),
    'one way': (
        lambda: few_shot.sample_folds(LABELS, LABELS, ways=1, shots=1),
        'ways is 1; expected 2',
    ),
    'an unknown SVM': (
        lambda: linear_svm.answers(blobs(2, 2, 0), blobs(2, 2, 1), classifier='rbf'),
        "classifier is 'rbf'; expected LinearSVC or SVC",
    ),
    'C of nothing': (
        lambda: linear_svm.answers(blobs(2, 2, 0), blobs(2, 2, 1), c=0),
        'C is 0; expected',
    ),
    'an SVM of one class': (
        lambda: linear_svm.answers(blobs(2, 1, 0), blobs(2, 1, 1)),
        'of one class',
    ),
    'features that are no numbers': (
        lambda: linear_svm.answers((np.full((4, 2), np.nan), LABELS[:4]), blobs(2, 2, 1)),
        'the train features have NaN',
    ),
    'no neighbour': (lambda: neighbours.answers(blobs(2, 2, 0), blobs(2, 2, 1), 5), 'k is 5'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str) -> None:
    call, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        call()
