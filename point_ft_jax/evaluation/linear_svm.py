"""A linear SVM on frozen features: how pre-trained backbones are compared, by scikit-learn's own.

The papers differ in the classifier, in C and in the feature, and their numbers are not comparable:
ReCon fits LinearSVC (one class against the rest, squared hinge) with C = 0.075, Point-M2AE a linear
SVC (one against one, hinge) with C = 0.012 on ModelNet40 and 0.042 on OBJ_BG.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC, LinearSVC

from point_ft_jax.core.errors import raise_all

CLASSIFIERS = ('LinearSVC', 'SVC')


def linear_svm(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    classifier: str = 'LinearSVC',
    c: float = 1.0,
    seed: int = 0,
) -> float:
    """The accuracy, a fraction, on `test` of an SVM fitted to `train`; see `answers`."""
    found = answers(train, test, classifier=classifier, c=c, seed=seed)
    return float(np.mean(found == test[1]))


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
        classifier: 'LinearSVC', or 'SVC' (with a linear kernel); scikit-learn's defaults but for C.
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
