"""SSF (Lian et al., NeurIPS 2022, arXiv 2210.08823): every frozen layer is scaled and shifted.

Never released for point clouds. Reconstructed at the places that DAPT's code shows: both norms and
the four linear maps of every block, the tokens and the last norm, 371,215 trainable parameters of
Point-MAE with 15 classes, the tables' 0.4M.

Not an identity at the start: the scales and shifts are drawn from N(1, 0.02) and N(0, 0.02).
"""

import flax.linen as nn
import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Tree
from point_ft_jax.methods._modules import ScaleShift
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner, fold


class SsfTuner(Tuner):
    """A scale and a shift at every layer."""

    def layer(self, module: nn.Module, x: Array) -> Array:
        return self.own(ScaleShift, module)(module(x))


def _fold_one(own: Tree, module: Tree) -> Tree:
    """A linear map, a norm or a tokenizer with the scale and shift in its weights."""
    if 'second_1' in module:  # a tokenizer: its last map stands before a maximum
        if (np.asarray(own['gamma']) < 0).any():
            raise UserError(
                "SSF can not be folded: a scale of the tokenizer's output has become negative, and "
                'turns the maximum before it into a minimum; use the tuned model as it is'
            )
        return {**module, 'second_1': _fold_one(own, module['second_1'])}
    gamma, beta = (np.asarray(own[name], np.float64) for name in ('gamma', 'beta'))
    weight = 'kernel' if 'kernel' in module else 'scale'
    old = {name: np.asarray(value, np.float64) for name, value in module.items()}
    new = {weight: old[weight] * gamma, 'bias': old.get('bias', 0.0) * gamma + beta}
    return {name: value.astype(module[weight].dtype) for name, value in new.items()}


def _merge(own: Tree, backbone: Tree, tuner: SsfTuner) -> Tree:
    """The backbone with every scale and shift in its weights; maps without bias get one."""
    return fold(own, backbone, _fold_one)


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=SsfTuner,
    identity={'*/gamma': 1.0, '*/beta': 0.0},
    merge=_merge,
)
