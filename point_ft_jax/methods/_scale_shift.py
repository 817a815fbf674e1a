"""Scale and shift, the module that SSF and DAPT share."""

import flax.linen as nn
import jax

from point_ft_jax.models.layers import Array, along_last


class ScaleShift(nn.Module):
    """gamma * x + beta over the last axis, drawn from N(1, 0.02) and N(0, 0.02)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1],)
        gamma = self.param('gamma', _around_one, shape).astype(x.dtype)
        beta = self.param('beta', nn.initializers.normal(0.02), shape).astype(x.dtype)
        return along_last(gamma, x) * x + along_last(beta, x)


def _around_one(key: Array, shape: tuple[int, ...]) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape)
