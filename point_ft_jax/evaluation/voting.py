"""Logits averaged over several augmented passes, as the papers vote."""

import jax
import numpy as np

from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.data.sampling import for_training, pool_size
from point_ft_jax.evaluation.inference import Predict, prepare


def vote(
    predict: Predict,
    variables: Variables,
    points: np.ndarray,
    num_points: int,
    augment: Augmentation,
    votes: int,
    key: jax.Array,
) -> np.ndarray:
    """Mean logits [S, C] over `votes` passes, each on a fresh random subset, augmented.

    As the papers vote: the pool of farthest points is the same in every pass.
    """
    pool = prepare(points, pool_size(num_points, points.shape[1]))

    @jax.jit
    def view(key: jax.Array, clouds: Array) -> Array:
        sample_key, augment_key = jax.random.split(key)
        return augment(augment_key, for_training(sample_key, clouds, num_points))

    total = 0.0
    for pass_key in jax.random.split(key, votes):
        total += predict(variables, np.asarray(view(pass_key, pool)))
    return total / votes
