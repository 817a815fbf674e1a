"""Learning rates by step."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from point_ft_jax.core.errors import UserError

Schedule = Callable[[jax.Array], jax.Array]


def cosine_by_step(
    peak: float, epochs: int, warmup: int, steps_per_epoch: int, final: float, initial: float
) -> Schedule:
    """Linear from `initial` over `warmup` epochs, then a cosine to `final`, at every step."""
    return optax.warmup_cosine_decay_schedule(
        initial, peak, warmup * steps_per_epoch, epochs * steps_per_epoch, final
    )


def cosine_by_epoch(
    peak: float, epochs: int, warmup: int, steps_per_epoch: int, final: float, initial: float
) -> Schedule:
    """The references' schedule: constant within an epoch, and one epoch late.

    f(t) climbs from `initial` over the first `warmup` epochs and is, from then on, where a cosine
    over all `epochs` stands at t. An epoch uses f of the one before it, so that epochs 0 and 1 both
    run at `initial`.
    """

    def schedule(step: jax.Array) -> jax.Array:
        t = jnp.maximum(step // steps_per_epoch - 1, 0)
        climb = initial + t * (peak - initial) / max(warmup, 1)
        fall = final + 0.5 * (peak - final) * (1 + jnp.cos(math.pi * t / epochs))
        lr = jnp.where(t < warmup, climb, jnp.where(t >= epochs, final, fall))
        return jnp.where(step < steps_per_epoch, initial, lr)

    return schedule


def constant(
    peak: float, epochs: int, warmup: int, steps_per_epoch: int, final: float, initial: float
) -> Schedule:
    """`peak` at every step."""
    return optax.constant_schedule(peak)


SCHEDULES = {f.__name__: f for f in (cosine_by_step, cosine_by_epoch, constant)}


def make_schedule(
    name: str,
    peak: float,
    *,
    epochs: int,
    warmup: int,
    steps_per_epoch: int,
    final: float = 1e-6,
    initial: float = 1e-6,
) -> Schedule:
    """The learning rate by step; UserError for an unknown name."""
    if name not in SCHEDULES:
        raise UserError(f'no schedule {name!r}; there are {", ".join(SCHEDULES)}')
    return SCHEDULES[name](peak, epochs, warmup, steps_per_epoch, final, initial)
