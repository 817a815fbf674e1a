"""Which patches an autoencoder hides."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array


def random(key: jax.Array, centers: Array, number: int) -> Array:
    """[B, G] bool, true for `number` patches of every cloud, any of them."""
    batch, groups, _ = centers.shape
    row = jnp.arange(groups) < number
    rows = jnp.broadcast_to(row, (batch, groups))
    return jax.random.permutation(key, rows, axis=1, independent=True)


def block(key: jax.Array, centers: Array, number: int) -> Array:
    """[B, G] bool, true for the `number` patches nearest to one of every cloud, itself included."""
    batch, groups, _ = centers.shape
    middle = jax.random.randint(key, (batch, 1, 1), 0, groups)
    distances = jnp.square(centers - jnp.take_along_axis(centers, middle, axis=1)).sum(axis=-1)
    rank = jnp.argsort(jnp.argsort(distances, axis=1), axis=1)
    return rank < number


MASKS = {f.__name__: f for f in (random, block)}


def key_for(module: nn.Module) -> jax.Array:
    """The key of a bound module's mask: from its random numbers 'mask', or else a fixed one.

    There are such numbers in training; in evaluation the mask is always the same.
    """
    return module.make_rng('mask') if module.has_rng('mask') else jax.random.key(0)


def number_hidden(ratio: float, groups: int) -> int:
    """How many of a cloud's patches a ratio hides: its whole part, as in the references.

    Raises:
        UserError: none or all of them.
    """
    number = int(ratio * groups) if 0 < ratio < 1 else 0
    if not 0 < number < groups:
        raise UserError(
            f'mask_ratio is {ratio}; expected a number between 0 and 1 that hides 1 to '
            f'{groups - 1} of the {groups} patches of a cloud'
        )
    return number


def split(mask: Array, number: int) -> tuple[Array, Array]:
    """The indices [B, G - number] of the visible patches and [B, number] of the hidden, in order.

    `mask` [B, G] hides exactly `number` patches of every cloud.
    """
    order = jnp.argsort(mask, axis=1, stable=True).astype(jnp.int32)
    return order[:, : mask.shape[1] - number], order[:, mask.shape[1] - number :]
