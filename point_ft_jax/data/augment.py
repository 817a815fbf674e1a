"""Augmentations on the device: (key, points [B, N, 3 + F]) to points of the same shape.

They move places, the first three channels, each cloud by an affine map. Of the other channels
normals turn with the surface, and the rest stays: see `named`.

Which one a paper used is worth several points of accuracy on ScanObjectNN: scale and translation in
DAPT and Point-MAE, rotation in ReCon, ACT and IDPT. Results are comparable within one only.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files.channels import NORMALS

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


def rotate(key: jax.Array, points: jax.Array) -> jax.Array:
    """Rotates every cloud by any rotation, all equally likely."""
    q = jax.random.normal(key, (points.shape[0], 4), points.dtype)
    w, x, y, z = jnp.moveaxis(q / jnp.linalg.norm(q, axis=1, keepdims=True), 1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    turn = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=1)
    return jnp.matmul(points, turn, precision=jax.lax.Precision.HIGHEST)


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
        rotate,
    )
}


def named(name: str, channels: Sequence[str] = ()) -> Augmentation:
    """The augmentation of a name, or of several joined by '+', from left to right; '' for none.

    `channels` are the names of what points have besides x, y, z: nx, ny, nz turn as the normals of
    the surface do, and keep their length.

    Raises:
        UserError: an unknown name; the message lists those there are.
    """
    parts = name.split('+') if name else ['none']
    unknown = [part for part in parts if part not in AUGMENTATIONS]
    if unknown:
        raise UserError(
            f'no augmentation {", ".join(map(repr, unknown))}; there are '
            f'{", ".join(AUGMENTATIONS)}, and several joined by +'
        )
    normals = tuple(3 + channels.index(axis) for axis in NORMALS if axis in channels)
    if len(normals) not in (0, 3):
        raise UserError(f'channels {", ".join(channels)}: expected all of nx, ny, nz, or none')
    return functools.partial(_in_turn, tuple(AUGMENTATIONS[part] for part in parts), normals)


def _in_turn(
    parts: tuple[Augmentation, ...], normals: tuple[int, ...], key: jax.Array, points: jax.Array
) -> jax.Array:
    for part, part_key in zip(parts, jax.random.split(key, len(parts)), strict=True):
        moved = part(part_key, points[..., :3])
        if normals:
            turned = turn_normals(part, part_key, points[..., normals])
            points = jnp.asarray(points).at[..., normals].set(turned)
        points = jnp.concatenate([moved, points[..., 3:]], axis=-1)
    return points


def turn_normals(part: Augmentation, key: jax.Array, normals: jax.Array) -> jax.Array:
    """The normals [B, N, 3] of surfaces after `part` has moved them; their lengths stay.

    An affine map x A + t takes a normal n to the direction of n cof(A), with the cofactors of A.
    """
    corners = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)]).astype(normals.dtype)
    corners = part(key, jnp.broadcast_to(corners, (normals.shape[0], 4, 3)))
    x, y, z = jnp.moveaxis(corners[:, 1:] - corners[:, :1], 1, 0)
    cofactors = jnp.stack([jnp.cross(y, z), jnp.cross(z, x), jnp.cross(x, y)], axis=1)
    turned = normals @ cofactors
    return turned * _length(normals) / jnp.maximum(_length(turned), jnp.finfo(turned.dtype).tiny)


def _length(vectors: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.square(vectors).sum(axis=-1, keepdims=True))
