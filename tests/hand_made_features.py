"""Hand-made features of a cloud: the yardstick that a pre-trained backbone has to beat.

Moments, bounding box, distances between pairs of points (D2 of Osada et al., "Shape distributions",
2002) and the eigenvalues of neighbourhoods' covariances, for a random forest on top.
"""

import numpy as np
from sklearn.ensemble import RandomForestClassifier

PAIRS = 2048
BINS = 16
CENTERS = 128
NEIGHBOURS = 24


def hand_made_features(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """[S, F] float64, features of clouds [S, N, 3] that know nothing of any training.

    Args:
        points: clouds of `NEIGHBOURS` points or more, in any place and size.
        seed: of the random pairs and neighbourhoods, the same in every cloud.
    """
    rng = np.random.default_rng(seed)
    count = points.shape[1]
    pairs = rng.integers(count, size=(2, PAIRS))
    centers = rng.permutation(count)[:CENTERS]
    return np.stack([_features(cloud, pairs, centers) for cloud in points.astype(np.float64)])


def forest_accuracy(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> float:
    """The accuracy, a fraction, of a random forest on hand-made features.

    Args:
        train, test: clouds [S, N, 3] and labels [S].
        seed: of the features and of the forest.
    """
    forest = RandomForestClassifier(300, random_state=seed)
    forest.fit(hand_made_features(train[0], seed), train[1])
    return float(forest.score(hand_made_features(test[0], seed), test[1]))


def _features(cloud: np.ndarray, pairs: np.ndarray, centers: np.ndarray) -> np.ndarray:
    cloud = cloud - cloud.mean(axis=0)
    cloud = cloud / np.linalg.norm(cloud, axis=1).max()
    distances = np.linalg.norm(cloud[pairs[0]] - cloud[pairs[1]], axis=1)
    histogram = np.histogram(distances, bins=BINS, range=(0, 2))[0] / PAIRS
    return np.concatenate([_moments(cloud), _boxes(cloud), histogram, _eigenvalues(cloud, centers)])


def _moments(cloud: np.ndarray) -> np.ndarray:
    """Covariance and its eigenvalues, third and fourth moments of each axis, and of the radius."""
    covariance = np.cov(cloud.T)
    radii = np.linalg.norm(cloud, axis=1)
    return np.concatenate(
        [
            covariance[np.triu_indices(3)],
            np.linalg.eigvalsh(covariance),
            (cloud**3).mean(axis=0),
            (cloud**4).mean(axis=0),
            [radii.mean(), radii.std(), np.median(radii)],
        ]
    )


def _boxes(cloud: np.ndarray) -> np.ndarray:
    """Low and high corner and extents, along the axes and along the principal axes."""
    _, axes = np.linalg.eigh(np.cov(cloud.T))
    spans = np.ptp(cloud @ axes, axis=0)
    return np.concatenate([cloud.min(axis=0), cloud.max(axis=0), np.ptp(cloud, axis=0), spans])


def _eigenvalues(cloud: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Histograms over neighbourhoods of how linear, planar and round they are."""
    squares = ((cloud[centers, None] - cloud) ** 2).sum(axis=-1)
    near = np.argpartition(squares, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    groups = cloud[near] - cloud[near].mean(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.einsum('cki,ckj->cij', groups, groups))[:, ::-1]
    first, second, third = np.maximum(values, 0).T / np.maximum(values[:, 0], 1e-12)
    kinds = ((first - second), (second - third), third)
    return np.concatenate([np.histogram(k, bins=8, range=(0, 1))[0] / len(k) for k in kinds])
