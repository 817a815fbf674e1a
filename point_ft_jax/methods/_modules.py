"""An array of a tuner's own: prompts, positions, prefixes."""

import flax.linen as nn

from point_ft_jax.models.layers import Array, token_init
from point_ft_jax.models.transformer import spread


class Learned(nn.Module):
    """A parameter `value` [1, *shape] for every sample of `like` [B, ...], in its type."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, like: Array) -> Array:
        return spread(self.param('value', token_init, (1, *self.shape)), like)
