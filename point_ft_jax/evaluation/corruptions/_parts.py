"""What the recipes of both suites are made of. Clouds are [N, 3]; sizes of results are static."""

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array

CANONICAL = 1024  # points of the clouds that the recipes are written for


def share(count: int, size: int) -> int:
    """So many of `size` points as `count` is of the canonical 1,024; at least 1."""
    return max(count * size // CANONICAL, 1)


def signed(key: jax.Array, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Uniform in low..high, with random signs."""
    size_key, sign_key = jax.random.split(key)
    return jax.random.uniform(size_key, shape, minval=low, maxval=high) * jax.random.rademacher(
        sign_key, shape, dtype=jnp.float32
    )


def axis_rotation(axis: int, angle: Array) -> Array:
    """[3, 3]: the rotation by `angle` (radians) about x, y or z, for columns on its right."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    matrix = jnp.eye(3).at[i, i].set(cos).at[j, j].set(cos)
    return matrix.at[i, j].set(-sin).at[j, i].set(sin)


def nearest(points: Array, alive: Array, center: Array, count: Array | int) -> Array:
    """[N] bool: the `count` points nearest to `center` among those `alive`."""
    squares = jnp.where(alive, jnp.square(points - center[None]).sum(-1), jnp.inf)
    rank = jnp.argsort(jnp.argsort(squares))
    return alive & (rank < count)


def any_of(key: jax.Array, alive: Array) -> Array:
    """[] int32: one of the points that are `alive`, at random."""
    return jax.random.categorical(key, jnp.where(alive, 0.0, -jnp.inf))


def keep(points: Array, alive: Array, count: int) -> Array:
    """[count, 3]: the points that are `alive`, of which there must be `count`, in their order."""
    return points[jnp.argsort(~alive, stable=True)[:count]]


def portions(key: jax.Array, total: int, most: int) -> Array:
    """[most] int32 that sum to `total`: each unit falls to one of C at random, C in 1..most."""
    number_key, unit_key = jax.random.split(key)
    number = jax.random.randint(number_key, (), 1, most + 1)
    return jnp.bincount(jax.random.randint(unit_key, (total,), 0, number), length=most)
