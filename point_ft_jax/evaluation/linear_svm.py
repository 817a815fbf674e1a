"""A linear SVM on frozen features: how pre-trained backbones are compared, by scikit-learn's own.

The papers differ in the classifier, in C and in the feature, and their numbers are not comparable:
ReCon fits LinearSVC (one class against the rest, squared hinge) with C = 0.075, Point-M2AE a linear
SVC (one against one, hinge) with C = 0.012 on ModelNet40 and 0.042 on OBJ_BG.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, LinearSVC

from point_ft_jax.core.errors import UserError, raise_all

CLASSIFIERS = ('LinearSVC', 'SVC')


def answers(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    classifier: str = 'LinearSVC',
    c: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """The classes [S] that an SVM fitted to `train` finds for `test`.

    Args:
        train, test: features [S, F] as they are, neither scaled nor centred, and labels [S].
        classifier: 'LinearSVC', or 'SVC' (with a linear kernel); scikit-learn's defaults except C.
        c: their C: a smaller one regularises more.
        seed: of LinearSVC's solver.

    Raises:
        UserError: an unknown classifier, a C that is not above 0, features that are no numbers, or
            a single class.
    """
    problems = []
    if classifier not in CLASSIFIERS:
        problems.append(f'classifier is {classifier!r}; expected {" or ".join(CLASSIFIERS)}')
    if not c > 0:
        problems.append(f'C is {c}; expected more than 0')
    for name, (features, labels) in (('train', train), ('test', test)):
        if not np.isfinite(features).all():
            problems.append(f'the {name} features have NaN or infinite entries')
        if len(features) != len(labels):
            problems.append(f'{len(features)} {name} features and {len(labels)} labels')
    if len(np.unique(train[1])) < 2:
        problems.append('the training clouds are of one class; expected two or more')
    raise_all(problems, 'no linear SVM can be fitted:')
    if classifier == 'SVC':
        model = SVC(C=c, kernel='linear')
    else:
        model = LinearSVC(C=c, random_state=seed)
    with warnings.catch_warnings():
        # The papers stop at the default number of iterations too.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model.fit(*train)
    return model.predict(test[0])


def chosen_svm(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    standardize: bool = True,
    classifier: str = 'LinearSVC',
    cs: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1),
    folds: int = 3,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Which test clouds an SVM gets right, [S] bool, and its C, chosen on held-out training folds.

    Args:
        train, test: features [S, F] and labels [S].
        standardize: whether features are centred and scaled by the training clouds' deviations; a
            scale that all features share would choose another C, so that models whose features have
            other norms are comparable only so.
        classifier: as of `answers`.
        cs: what to choose from; of equals the smallest.
        folds: how often a part of the training clouds, class by class, is held out.
        seed: of the folds and of the solver.

    Raises:
        UserError: as of `answers`; no C, or fewer than two folds.
    """
    if not len(cs) or folds < 2:
        raise UserError(f'cs is {list(cs)} and folds {folds}; expected one C or more and two folds')
    features, tested = np.asarray(train[0], np.float64), np.asarray(test[0], np.float64)
    if standardize:
        mean, deviation = features.mean(0), features.std(0)
        deviation[deviation == 0] = 1
        features, tested = (features - mean) / deviation, (tested - mean) / deviation
    options = {'classifier': classifier, 'seed': seed}
    scores = dict.fromkeys(sorted(cs), 0)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of a class with fewer clouds than folds
        parts = list(split.split(features, train[1])) if len(cs) > 1 else []
    for rows in parts:
        pair = [(features[part], train[1][part]) for part in rows]
        for c in scores:
            scores[c] += int((answers(*pair, c=c, **options) == pair[1][1]).sum())
    best = max(scores, key=scores.get)
    found = answers((features, train[1]), (tested, test[1]), c=best, **options)
    return found == test[1], best
