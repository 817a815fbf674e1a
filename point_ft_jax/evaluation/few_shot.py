"""Few-shot classification: n classes, k clouds of each to learn from, ten such tasks.

As in the papers on ModelNet40: 5 or 10 ways, 10 or 20 shots, 20 other clouds of every class to be
judged on, mean and deviation over ten folds. The official folds are pickles of clouds; without them
folds are drawn.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from point_ft_jax.core.devices import compiler_options
from point_ft_jax.core.errors import UserError, raise_all, some
from point_ft_jax.core.trees import Array
from point_ft_jax.data import checks
from point_ft_jax.data.files import array_pickle
from point_ft_jax.data.files.folders import existing_root
from point_ft_jax.data.normalize import unit_sphere
from point_ft_jax.data.split import Split

FOLDS = 10
QUERIES = 20  # clouds of each class to be judged on
STEPS, RATE, DECAY = 150, 0.02, 1e-3  # of the linear probe


@dataclasses.dataclass(frozen=True)
class Fold:
    """One task, by rows of the splits that it was drawn from.

    Attributes:
        classes: [n], the labels of its classes there; its own labels are their places here.
        train: [n * k], rows to learn from, class after class.
        test: [n * queries], rows to be judged on, class after class.
    """

    classes: np.ndarray
    train: np.ndarray
    test: np.ndarray


def sample_folds(
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    *,
    ways: int,
    shots: int,
    queries: int = QUERIES,
    folds: int = FOLDS,
    seed: int = 0,
) -> list[Fold]:
    """Folds at random: classes, shots from the training split, queries from the test split.

    A fold depends on the seed, the ways, the shots and its number.

    Raises:
        UserError: fewer classes than ways, or classes with fewer clouds than shots or queries.
    """
    names = {'ways': (ways, 2), 'shots': (shots, 1), 'queries': (queries, 1), 'folds': (folds, 1)}
    problems = [
        f'{name} is {value}; expected {least} or more'
        for name, (value, least) in names.items()
        if value < least
    ]
    labels = np.unique(train_labels)
    if len(labels) < ways:
        problems.append(f'{ways} ways, but the clouds are of {len(labels)} classes')
    for what, found, needed in (
        ('shots', train_labels, shots),
        ('queries', test_labels, queries),
    ):
        short = {int(k): int((found == k).sum()) for k in labels if (found == k).sum() < needed}
        if short:
            split = 'training' if what == 'shots' else 'test'
            listed = some(f'class {k} has {n}' for k, n in short.items())
            problems.append(f'{needed} {what} a class, but of the {split} clouds {listed}')
    raise_all(problems, 'these few-shot tasks cannot be drawn:')
    return [
        _draw_one(train_labels, test_labels, labels, ways, shots, queries, seed, number)
        for number in range(folds)
    ]


def _draw_one(
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    labels: np.ndarray,
    ways: int,
    shots: int,
    queries: int,
    seed: int,
    number: int,
) -> Fold:
    r = np.random.default_rng([seed, ways, shots, number])
    classes = r.permutation(labels)[:ways]
    train, test = (
        np.concatenate([r.permutation(np.flatnonzero(found == k))[:size] for k in classes])
        for found, size in ((train_labels, shots), (test_labels, queries))
    )
    return Fold(classes, train, test)


def take(fold: Fold, train: Split, test: Split) -> tuple[Split, Split]:
    """The clouds of a fold, labelled 0 to n - 1 in the order of its classes."""
    names = tuple(train.classes[k] for k in fold.classes)
    ways = len(names)
    return tuple(
        dataclasses.replace(
            split.take(rows),
            labels=np.repeat(np.arange(ways, dtype=np.int32), len(rows) // ways),
            classes=names,
        )
        for split, rows in ((train, fold.train), (test, fold.test))
    )


def union(train: Split, test: Split) -> tuple[Split, Split]:
    """Both splits as one pool, divided again: the first half of every class, and the second.

    For data with too few test clouds to draw queries from.
    """
    points = np.concatenate([train.points, test.points])
    labels = np.concatenate([train.labels, test.labels])
    both = dataclasses.replace(train, points=points, labels=labels, part_labels=None)
    first = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        first[rows[: len(rows) // 2]] = True
    return both.take(np.flatnonzero(first)), both.take(np.flatnonzero(~first))


def read_official(
    root: str, ways: int, shots: int, folds: int = FOLDS
) -> list[tuple[Split, Split]]:
    """The official folds of ModelNet40: clouds to learn from and to be judged on, [S, 8192, 3].

    Their pickles are read without running their code. Clouds are centred and scaled to the unit
    sphere; a fold's classes are named by their numbers.

    Args:
        root: the folder ModelNetFewshot, which holds `5way_10shot/0.pkl` and the like.
        ways, shots: which of them.
        folds: how many, from 0.pkl on.

    Raises:
        UserError: no folder, folds that are missing or damaged, a fold that is not ways x shots, or
            one with more clouds of one class than of another.
    """
    folder = existing_root(root) / f'{ways}way_{shots}shot'
    paths = [folder / f'{number}.pkl' for number in range(folds)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f'{folder} lacks {len(missing)} of {folds} folds: {some(missing)}; give the '
            'folder ModelNetFewshot as root, or none to have folds drawn'
        )
    return [_read_one(path, ways, shots) for path in paths]


def _read_one(path: pathlib.Path, ways: int, shots: int) -> tuple[Split, Split]:
    fold = array_pickle.load(path)
    if not isinstance(fold, dict) or not {'train', 'test'} <= fold.keys():
        raise UserError(f'{path} is no fold: expected a dict with train and test')
    train, test = (_clouds(fold[name], ways, f'{name} of {path}') for name in ('train', 'test'))
    if len(train) != ways * shots:
        raise UserError(f'{path} has {len(train)} clouds to learn from; expected {ways} x {shots}')
    return train, test


def _clouds(entries: Sequence[tuple], ways: int, name: str) -> Split:
    """Entries of (points [N, 6], label, ...) as a split, with as many clouds of every class."""
    try:
        points = np.stack([np.asarray(entry[0])[:, :3] for entry in entries])
        labels = np.array([int(np.ravel(entry[1])[0]) for entry in entries], np.int32)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise UserError(
            f'{name} is no list of clouds: expected entries (points [N, 3 or more], label), with '
            'as many points in all'
        ) from None
    classes = tuple(str(k) for k in range(ways))
    raise_all(checks.problems(points, labels, classes), f'{name} is damaged:')
    counts = np.bincount(labels).tolist()
    if len(set(counts)) > 1:  # `probe` takes them to be equal
        raise UserError(f'{name} has {counts} clouds of its classes; expected as many of each')
    return Split(unit_sphere(points), labels, classes)


def probe_folds(
    train_features: np.ndarray, test_features: np.ndarray, folds: Sequence[Fold]
) -> np.ndarray:
    """The accuracy, a fraction, of a linear probe on every fold, all of them at once: [..., folds].

    The probe is softmax regression on features standardised by the fold's training clouds, trained
    to convergence in full batches: nothing in it is random.

    Args:
        train_features, test_features: [..., S, F] of the splits that the folds were drawn from.
        folds: of one size.

    Raises:
        UserError: features that are so large that a probe on them has no finite answers.
    """
    ways = len(folds[0].classes)
    rows = [np.stack([getattr(fold, name) for fold in folds]) for name in ('train', 'test')]
    lead = train_features.shape[:-2]
    stacks = [
        jnp.asarray(features.reshape(-1, *features.shape[-2:]))
        for features in (train_features, test_features)
    ]
    found = np.asarray(_probe_all(ways)(*stacks, *rows)).reshape(*lead, len(folds))
    if np.isnan(found).any():
        raise UserError(
            'a linear probe on the features has no finite answers: the features are out of all '
            'range, and so are the weights that gave them (see point-ft inspect)'
        )
    return found


@functools.cache
def _probe_all(ways: int) -> Callable:
    def folds(train: Array, test: Array, train_rows: Array, test_rows: Array) -> Array:
        # The folds of one model together, model after model: features are copied a fold.
        return jax.lax.map(
            lambda pair: jax.vmap(lambda a, b: probe(pair[0][a], pair[1][b], ways))(
                train_rows, test_rows
            ),
            (train, test),
        )

    return jax.jit(folds, compiler_options=compiler_options())


def probe(train: Array, test: Array, ways: int) -> Array:
    """The accuracy [] of softmax regression on one fold's features [n * k, F] and [n * q, F].

    Rows are ordered by class, with equally many of each. NaN where its answers are not finite.
    """
    mean = train.mean(0, keepdims=True)
    deviation = jnp.sqrt(jnp.square(train - mean).mean(0, keepdims=True)) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    targets = jax.nn.one_hot(jnp.repeat(jnp.arange(ways), len(train) // ways), ways)
    tx = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)

    def loss(weights: dict) -> Array:
        logits = train @ weights['kernel'] + weights['bias'][None]
        return optax.softmax_cross_entropy(logits, targets).mean()

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        weights, state = carry
        updates, state = tx.update(jax.grad(loss)(weights), state, weights)
        return (optax.apply_updates(weights, updates), state), None

    weights = {'kernel': jnp.zeros((train.shape[1], ways)), 'bias': jnp.zeros(ways)}
    (weights, _), _ = jax.lax.scan(step, (weights, tx.init(weights)), None, length=STEPS)
    answers = test @ weights['kernel'] + weights['bias'][None]
    right = answers.argmax(-1) == jnp.repeat(jnp.arange(ways), len(test) // ways)
    finite = jnp.isfinite(answers).all() & jnp.isfinite(deviation).all()
    return jnp.where(finite, jnp.mean(right), jnp.nan)
