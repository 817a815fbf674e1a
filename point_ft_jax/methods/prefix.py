"""Prefix tuning (Li and Liang, ACL 2021, arXiv 2101.00190): learned keys and values.

Every attention sees `length` rows of keys and of values beside those of its tokens. Never released
for point clouds. Reconstructed: 48 rows, learned directly (no MLP makes them), 710,671 trainable
parameters of Point-MAE with 15 classes, the tables' 0.7M.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp

from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import Learned
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class PrefixTuner(Tuner):
    """Learned rows after the keys and values of every attention.

    Attributes:
        length: the number of rows.
    """

    length: int = 48

    def keys_values(self, attention: nn.Module, k: Array, v: Array) -> tuple[Array, Array]:
        rows = functools.partial(Learned, (self.length, *k.shape[2:]))
        keys, values = (self.own(rows, attention, kind)(k) for kind in ('keys', 'values'))
        return jnp.concatenate([k, keys], axis=1), jnp.concatenate([v, values], axis=1)


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=PrefixTuner,
    identity='its rows take part in every softmax whatever their values',
    merge='its rows compete with the tokens in every softmax: no weight can stand for them',
)
