"""Augmentations on the device: (key, points [B, N, 3]) to points of the same shape.

Which one a paper used is worth several points of accuracy on ScanObjectNN: scale and translation in
DAPT and Point-MAE, rotation in ReCon, ACT and IDPT. Results are comparable within one only.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def scale(key: jax.Array, points: jax.Array) -> jax.Array:
    """Scales every axis of every cloud by its own factor, uniform in 2/3 to 3/2."""
    shape = (points.shape[0], 1, 3)
    return points * jax.random.uniform(key, shape, points.dtype, 2 / 3, 3 / 2)


def translate(key: jax.Array, points: jax.Array) -> jax.Array:
    """Moves every cloud along every axis, uniform in -0.2 to 0.2."""
    shape = (points.shape[0], 1, 3)
    return points + jax.random.uniform(key, shape, points.dtype, -0.2, 0.2)


def scale_translate(key: jax.Array, points: jax.Array) -> jax.Array:
    """`scale`, then `translate`."""
    first, second = jax.random.split(key)
    return translate(second, scale(first, points))


def scale_isotropic(key: jax.Array, points: jax.Array) -> jax.Array:
    """Scales every cloud by one factor, uniform in 0.8 to 1.25: of part segmentation."""
    return points * jax.random.uniform(key, (points.shape[0], 1, 1), points.dtype, 0.8, 1.25)


def shift(key: jax.Array, points: jax.Array) -> jax.Array:
    """Moves every cloud along every axis, uniform in -0.1 to 0.1."""
    shape = (points.shape[0], 1, 3)
    return points + jax.random.uniform(key, shape, points.dtype, -0.1, 0.1)


def batch_scale_translate(key: jax.Array, points: jax.Array) -> jax.Array:
    """`scale_translate` with one factor and one shift an axis for the whole batch, as IDPT's."""
    first, second = jax.random.split(key)
    factor = jax.random.uniform(first, (1, 1, 3), points.dtype, 2 / 3, 3 / 2)
    return points * factor + jax.random.uniform(second, (1, 1, 3), points.dtype, -0.2, 0.2)


def rotate_y(key: jax.Array, points: jax.Array) -> jax.Array:
    """Rotates every cloud about the vertical axis y, by any angle."""
    angle = jax.random.uniform(key, (points.shape[0], 1), points.dtype, 0.0, 2 * jnp.pi)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return jnp.stack([x * cos - z * sin, y, x * sin + z * cos], axis=-1)


def none(key: jax.Array, points: jax.Array) -> jax.Array:
    """The points as they are."""
    return points


AUGMENTATIONS = {
    f.__name__: f
    for f in (
        none,
        scale,
        translate,
        scale_translate,
        scale_isotropic,
        shift,
        batch_scale_translate,
        rotate_y,
    )
}


def named(name: str) -> Augmentation:
    """The augmentation of a name, or of several joined by '+', applied from left to right.

    Raises:
        UserError: an unknown name; the message lists those there are.
    """
    parts = name.split('+')
    unknown = [part for part in parts if part not in AUGMENTATIONS]
    if unknown:
        raise UserError(
            f'no augmentation {", ".join(map(repr, unknown))}; there are '
            f'{", ".join(AUGMENTATIONS)}, and several joined by +'
        )
    return functools.partial(_in_turn, tuple(AUGMENTATIONS[part] for part in parts))


def _in_turn(parts: tuple[Augmentation, ...], key: jax.Array, points: jax.Array) -> jax.Array:
    for part, part_key in zip(parts, jax.random.split(key, len(parts)), strict=True):
        points = part(part_key, points)
    return points
