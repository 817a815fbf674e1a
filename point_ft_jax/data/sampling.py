"""From a stored cloud to the points that a model sees, as every published model was trained.

Training takes the farthest points of a slightly larger pool and then a random subset of them, one
subset for the whole batch; testing takes the farthest points. Farthest points of a whole cloud are
only an order, which no model here depends on, except for one effect that is kept: points near the
origin are never sampled, and copies of another point stand in for them.

A point is [3 + F]: where it is, and what else is known of it, which goes with it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from kernels import NEAR_ORIGIN, farthest_point_sample, gather_points
from point_ft_jax.core.errors import UserError, warn

POOLS = {1024: 1200, 2048: 2400, 4096: 4800, 8192: 8192}


def pool_size(num_points: int, available: int) -> int:
    """How many farthest points a random subset of `num_points` is drawn from."""
    return min(POOLS.get(num_points, num_points * 6 // 5), available)


def check_points(num_points: int, available: int) -> None:
    """Raises UserError if clouds of `available` points can't give `num_points`."""
    if num_points > available:
        raise UserError(
            f'the model takes {num_points} points and the clouds have {available}: give clouds of '
            f'more points, or to train set config.points to {available} or less'
        )


def repeated(points: np.ndarray, num_points: int) -> np.ndarray:
    """A cloud [N, 3 + F] whose points are repeated in turn up to `num_points`; a larger one as is.

    Copies of a point change nothing that a model here is told of: it takes the farthest points.
    """
    return points[np.arange(max(len(points), num_points)) % len(points)]


FEW = ('repeat', 'refuse')


def enough(points: np.ndarray, num_points: int, few: str) -> np.ndarray:
    """Clouds [S, N, 3 + F] of `num_points` points or more, theirs repeated if few='repeat'.

    Raises:
        UserError: `few` is none of FEW; or they have fewer points and it is 'refuse'.
    """
    if few not in FEW:
        raise UserError(f'few is {few!r}; expected {" or ".join(FEW)}')
    if points.shape[1] >= num_points:
        return points
    if few == 'refuse':
        raise UserError(
            f'the model takes {num_points} points and the clouds have {points.shape[1]}: give '
            "few='repeat' to have theirs repeated, or clouds of more points"
        )
    warn(
        f'the clouds have {points.shape[1]} points, of which the model takes {num_points}: they '
        'are repeated',
    )
    return points[:, np.arange(num_points) % points.shape[1]]


def for_training(key: jax.Array, points: jax.Array, num_points: int) -> jax.Array:
    """[B, N, 3 + F] to a fresh random [B, num_points, 3 + F]."""
    batch, available, _ = points.shape
    start_key, column_key = jax.random.split(key)
    pool = pool_size(num_points, available)
    columns = jax.random.permutation(column_key, pool)[:num_points]
    if pool == available:
        return fill_near_origin(points)[:, columns]
    # The references shuffle a cloud's points before every use: the walk starts anywhere.
    start = jax.random.randint(start_key, (batch,), 0, available)
    indices = farthest_point_sample(points[..., :3], pool, start_index=start)
    return gather_points(points, indices[:, columns])


def for_pretraining(key: jax.Array, points: jax.Array, num_points: int) -> jax.Array:
    """[B, N, 3 + F] to any [B, num_points, 3 + F] of each cloud, about their mean, of radius 1.

    How the autoencoders were trained on ShapeNet: no farthest points here.
    """
    indices = jnp.argsort(jax.random.uniform(key, points.shape[:2]), axis=1)[:, :num_points]
    points = gather_points(points, indices.astype(jnp.int32))
    places = points[..., :3] - points[..., :3].mean(axis=1, keepdims=True)
    radius = jnp.sqrt(jnp.square(places).sum(axis=-1, keepdims=True).max(axis=1, keepdims=True))
    return jnp.concatenate([places / radius, points[..., 3:]], axis=-1)


SAMPLES = {'farthest': for_training, 'random': for_pretraining}


def for_testing(points: jax.Array, num_points: int) -> jax.Array:
    """[B, N, 3 + F] to its [B, num_points, 3 + F] farthest points from index 0 on."""
    if num_points == points.shape[1]:
        return fill_near_origin(points)
    return gather_points(points, farthest_point_sample(points[..., :3], num_points))


def fill_near_origin(points: jax.Array) -> jax.Array:
    """What sampling all N points of a cloud by farthest points amounts to, up to the order.

    Points near the origin (but index 0) are replaced by the first point that is not.
    """
    selectable = jnp.square(points[..., :3]).sum(axis=-1) > NEAR_ORIGIN
    first = jnp.argmax(selectable, axis=1).astype(jnp.int32)
    kept = selectable.at[:, 0].set(True)
    return jnp.where(kept[..., None], points, gather_points(points, first[:, None]))
