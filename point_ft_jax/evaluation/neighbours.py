"""k nearest neighbours on frozen features: no fitting, no regularisation to choose."""

import numpy as np

from point_ft_jax.core.errors import UserError


def answers(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], k: int = 5
) -> np.ndarray:
    """The class [S] that most of each test cloud's `k` nearest training clouds have.

    Near is the cosine of features [S, F]; between classes with as many neighbours, the sum of
    their cosines decides.

    Raises:
        UserError: k below 1 or beyond the training clouds.
    """
    if not 1 <= k <= len(train[0]):
        raise UserError(f'k is {k}; expected 1 to {len(train[0])}, the number of training clouds')
    one, two = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        for x in (np.asarray(test[0], np.float64), np.asarray(train[0], np.float64))
    )
    cosines = one @ two.T
    near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    votes = np.zeros((len(one), int(train[1].max()) + 1))
    rows = np.repeat(np.arange(len(one)), k)
    # A vote counts 1, its cosine a little: less in sum than any vote.
    weights = 1 + np.take_along_axis(cosines, near, 1).ravel() / (4 * k)
    np.add.at(votes, (rows, train[1][near].ravel()), weights)
    return votes.argmax(1)
