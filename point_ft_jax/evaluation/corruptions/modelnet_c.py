"""The seven corruptions of ModelNet-C (Ren et al., ICML 2022, arXiv 2202.03377), by their recipes.

Each is (key, points [N, 3] in the unit sphere, severity 1..5) to [N', 3]; severity s is the suite's
level s - 1. `dropout_local` has one to seven clusters, as the released code draws them (the paper
says eight), and the fourth `dropout_global` drops 0.625, as in the code (the paper prints 0.675).
"""

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.evaluation.corruptions._parts import (
    any_of,
    axis_rotation,
    keep,
    nearest,
    portions,
    share,
)

CLUSTERS = 7  # at most


def scale(key: jax.Array, points: Array, severity: int) -> Array:
    """Every axis by its own factor in 1/s..s, s = 1.6 to 2.0; then back to the unit sphere."""
    most = 1.5 + 0.1 * severity
    scaled = points * jax.random.uniform(key, (1, 3), minval=1 / most, maxval=most)
    centred = scaled - scaled.mean(0, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).sum(-1).max())


def jitter(key: jax.Array, points: Array, severity: int) -> Array:
    """Normal noise of deviation 0.01 to 0.05 on every coordinate."""
    return points + 0.01 * severity * jax.random.normal(key, points.shape)


def rotate(key: jax.Array, points: Array, severity: int) -> Array:
    """Turned about x, y and z, each by up to 6 to 30 degrees."""
    most = jnp.pi / 30 * severity
    x, y, z = (
        axis_rotation(axis, angle)
        for axis, angle in enumerate(jax.random.uniform(key, (3,), minval=-most, maxval=most))
    )
    return points @ (z @ y @ x)


def dropout_global(key: jax.Array, points: Array, severity: int) -> Array:
    """A quarter to three quarters of the points are gone, at random."""
    rest = int(len(points) * (1 - (0.125 + 0.125 * severity)))
    return jax.random.permutation(key, points)[:rest]


def dropout_local(key: jax.Array, points: Array, severity: int) -> Array:
    """Balls of points are gone, 100 to 500 of 1,024 points in one to seven places."""
    gone = share(100 * severity, len(points))
    portion_key, *keys = jax.random.split(key, 1 + CLUSTERS)
    alive = jnp.ones(len(points), bool)
    for size, place_key in zip(portions(portion_key, gone, CLUSTERS), keys, strict=True):
        alive &= ~nearest(points, alive, points[any_of(place_key, alive)], size)
    return keep(points, alive, len(points) - gone)


def add_global(key: jax.Array, points: Array, severity: int) -> Array:
    """10 to 50 points (of 1,024) more, uniform in the unit ball."""
    more = share(10 * severity, len(points))
    return jnp.concatenate([points, jax.random.ball(key, 3, shape=(more,))])


def add_local(key: jax.Array, points: Array, severity: int) -> Array:
    """100 to 500 points (of 1,024) more, around one to seven points of the cloud.

    As in the reference, a point at the distance r > 1 from the origin is divided by r squared.
    """
    more = share(100 * severity, len(points))
    portion_key, place_key, spread_key, noise_key = jax.random.split(key, 4)
    places = jax.random.permutation(place_key, points)[:CLUSTERS]
    spreads = jax.random.uniform(spread_key, (CLUSTERS, 1), minval=0.075, maxval=0.125)
    sizes = portions(portion_key, more, CLUSTERS)
    owner = jnp.repeat(jnp.arange(CLUSTERS), sizes, total_repeat_length=more)
    added = places[owner] + spreads[owner] * jax.random.normal(noise_key, (more, 3))
    return jnp.concatenate([points, added / jnp.maximum(jnp.square(added).sum(-1), 1.0)[:, None]])


CORRUPTIONS = {
    f.__name__: f
    for f in (scale, jitter, rotate, dropout_global, dropout_local, add_global, add_local)
}
