"""STAG: a side graph network for point clouds (MVA 2025, arXiv 2502.14142).

Beside the blocks runs a narrow state of each patch: every block's input is mapped down and added
to it. From block `first` on, an edge convolution over the patches' nearest centres renews it, and a
displacement made of it is added to what leaves the block. The head reads the mean of all tokens;
the backbone's last norm stays out.

Nothing that trains comes before the first displacement, so that the way back ends there: the blocks
up to `first` need neither gradients nor stored activations, which is what makes the method cheap.
The tokens are cut off explicitly (`detach`), so that early weights of the backbone stay as they are
even where `trainable` names them.

Published as two forms: STAG (`first=6`, one set of maps for all blocks; 428,431 trainable
parameters of Point-MAE with 15 classes) and STAG-SL (`first=3, share=3`; 1,020,751). The class
token and its position are frozen: on a Point-MAE checkpoint, which has neither, they stay as they
were drawn. Not an identity at the start: every map starts as a linear map of PyTorch does.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import gather_points, knn
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import recall
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.layers import Dtype, Linear, max_pool
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Method, Tuner


class EdgeConv(nn.Module):
    """The maximum over neighbours j of A r_i + B r_j, then a linear map: [B, G, C] to [B, G, C].

    No norm, no activation, no difference of features.
    """

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, state: Array, neighbors: Array) -> Array:
        linear = functools.partial(Linear, state.shape[-1], dtype=self.dtype)
        near = gather_points(linear(name='near')(state), neighbors)
        return linear(name='out')(linear(name='own')(state) + max_pool(near))


class StagTuner(Tuner):
    """A side network of edge convolutions.

    Attributes:
        first: the first block, from 0, after which tokens are displaced.
        share: how many successive blocks have one set of maps; 0 for all.
        width: C, of the side state.
        neighbors: of a centre in the graph, itself included.
        detach: let no gradient pass the blocks up to `first`.
        last_norm: apply the backbone's last norm, which the published model leaves out.
    """

    first: int = 6
    share: int = 0
    width: int = 192
    neighbors: int = 8
    detach: bool = True
    last_norm: bool = False

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        if not 0 <= self.first < embedding.depth:
            raise UserError(
                f'STAG displaces tokens after block {self.first} and later ones, and this backbone '
                f'has blocks 0 to {embedding.depth - 1}: set method_options.first to one of them'
            )
        tokens = super().tokens(embedding, points)
        batch, groups, _ = tokens.centers.shape
        if groups < self.neighbors:
            raise UserError(
                f'STAG looks for {self.neighbors} neighbours among {groups} patches: set '
                'method_options.neighbors to that number at most'
            )
        memo = {
            'stag_neighbors': knn(tokens.centers, tokens.centers, self.neighbors)[1],
            'stag_state': jnp.zeros((batch, groups, self.width), tokens.patches.dtype),
        }
        return tokens.replace(memo={**tokens.memo, **memo})

    def layer(self, module: nn.Module, x: Array) -> Array:
        y = module(x)
        return x if module.name == 'norm' and not self.last_norm else y

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        linear = functools.partial(Linear, dtype=block.dtype)
        down, late = self._numbers(block.index)
        state = recall(tokens, 'stag_state', 'STAG')
        tokens = self._quiet(block, tokens)
        down_map = functools.partial(linear, self.width)
        state = state + self.own(down_map, f'down_{down}')(tokens.patches)
        tokens = self._quiet(block, block(tokens))
        if block.index >= self.first:
            edges = self.own(functools.partial(EdgeConv, block.dtype), f'edges_{late}')
            state = edges(state, tokens.memo['stag_neighbors'])
            up = functools.partial(linear, tokens.patches.shape[-1])
            move = jax.nn.relu(self.own(up, f'up_{late}')(state))
            tokens = tokens.replace(
                patches=tokens.patches + move, cls=tokens.cls + move.mean(axis=1, keepdims=True)
            )
        return tokens.replace(memo={**tokens.memo, 'stag_state': state})

    def _numbers(self, index: int) -> tuple[int, int]:
        """Which map down, and which edge convolution and map up, a block has, as published."""
        share = self.share
        return (
            (index // share, (index - self.first) // share + self.first)
            if share
            else (0, self.first)
        )

    def _quiet(self, block: nn.Module, tokens: Tokens) -> Tokens:
        """The tokens, through which no gradient flows back before the first displacement."""
        if not self.detach or block.index > self.first:
            return tokens
        return tokens.with_sequence(jax.lax.stop_gradient(tokens.sequence()))


NAMES = 'blocks.addparam_{}_dict'
METHOD = Method(
    trainable=('tuner/*', 'head/*'),
    tuner=StagTuner,
    readout=('all_mean',),
    torch_names={
        f'{path}_{number}{inside}': f'{NAMES.format(name)}.{number}.0'
        for path, inside, name in (
            ('down', '', 'downproj'),
            ('edges', '/own', 'graphconv1'),
            ('edges', '/near', 'graphconv2'),
            ('edges', '/out', 'fc'),
            ('up', '', 'upproj'),
        )
        for number in range(12)
    },
    conv=('blocks.addparam_*',),
    # Where `last_norm` is on; without, it is the backbone without its last norm.
    identity={'up_*': 0.0},
    merge='its displacements depend on the cloud: no weight of the backbone can stand for them',
)
# Its authors have no part segmenter. Here it reads normalised tokens, as every other one.
METHOD = dataclasses.replace(
    METHOD,
    segmentation=dataclasses.replace(
        METHOD, readout=None, tuner=functools.partial(StagTuner, last_norm=True)
    ),
)
