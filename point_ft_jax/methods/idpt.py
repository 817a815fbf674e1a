"""IDPT: instance-aware dynamic prompt tuning (Zha et al., ICCV 2023, arXiv 2304.07221).

Before block `prompt_layer` (from 0; in a hierarchy, of every level), three edge convolutions on
the patches, each over a neighbour graph of its own input, make one prompt for the cloud; it stays
in the sequence to the end. Published settings: `prompt_layer=11` (6 on OBJ_ONLY), and the readout
below (on OBJ_BG the prompt alone: 'prompts_mean').
1,696,783 trainable parameters of Point-MAE with 15 classes, 1,500,175 with the prompt's readout.

The reference selects what trains by the substring 'cls', which the prompt's position lacks: it
keeps its random start, and so it does here, unless the config's `trainable` is `('tuner/*',
'head/*', 'backbone/cls_*')`. Its part segmenter is in `_idpt_segmentation`.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.methods._idpt_segmentation import SEGMENTATION
from point_ft_jax.methods._modules import Learned
from point_ft_jax.models.layers import (
    KERNEL_INIT,
    BatchNorm,
    Dtype,
    Linear,
    edge_products,
    leaky,
    max_pool,
)
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


def nearest_features(x: Array, k: int) -> Array:
    """The `k` rows of x [B, G, C] nearest to each row, itself included: [B, G, k] int32.

    By |a|^2 - 2ab + |b|^2, as the reference has it.
    """
    x = jax.lax.stop_gradient(x)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squares = jnp.square(x).sum(-1)
    products = jnp.einsum('bic,bjc->bij', x, x, precision='highest')
    return jax.lax.top_k(2 * products - squares[:, :, None] - squares[:, None, :], k)[1]


class EdgeConv(nn.Module):
    """Edges [x_j - x_i, x_i] through linear, batch norm, leaky ReLU; the maximum over j.

    [B, G, C] to [B, G, features].
    """

    features: int
    neighbors: int
    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        kernel = self.param('kernel', KERNEL_INIT, (2 * width, self.features)).astype(x.dtype)
        edges = edge_products(kernel, x, x, nearest_features(x, self.neighbors))
        return max_pool(leaky(BatchNorm(self.use_running, self.dtype, name='norm')(edges)))


class Generator(nn.Module):
    """Patches [B, G, D] to one prompt [B, 1, D]."""

    neighbors: int
    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Array) -> Array:
        width, stages = patches.shape[-1], []
        for index in range(3):
            conv = EdgeConv(
                width, self.neighbors, self.use_running, self.dtype, name=f'edge_{index}'
            )
            stages.append(conv(stages[-1] if stages else patches))
        mix = Linear(width, use_bias=False, dtype=self.dtype, name='mix')
        norm = BatchNorm(self.use_running, self.dtype, name='mix_norm')
        return max_pool(leaky(norm(mix(jnp.concatenate(stages, axis=-1)))))[:, None]


class IdptTuner(Tuner):
    """One generated prompt, put in before one block.

    Attributes:
        prompt_layer: the block before which the prompt enters, from 0.
        neighbors: of a patch in the graph, itself included.
    """

    prompt_layer: int = 11
    neighbors: int = 20

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        if block.index != self.prompt_layer:
            return block(tokens)
        patches = tokens.patches
        if patches.shape[1] < self.neighbors:
            raise UserError(
                f'IDPT looks for {self.neighbors} neighbours among {patches.shape[1]} patches: set '
                'method_options.neighbors to that number at most'
            )
        generator = functools.partial(Generator, self.neighbors, not block.train, block.dtype)
        position = functools.partial(Learned, (1, patches.shape[-1]))
        prompt = self.own(generator, block, 'generator')(patches)
        return block(tokens.prepend(prompt, self.own(position, block, 'position')(patches)))


GENERATOR = 'block_{block}.generator'
# The reference registers every norm twice, by itself and in the sequence with its convolution.
NORMS = {'edge_0/norm': '1', 'edge_1/norm': '2', 'edge_2/norm': '3', 'mix_norm': '5'}

METHOD = Method(
    trainable=('tuner/*.generator/*', *HEAD_AND_CLS),
    tuner=IdptTuner,
    readout=('cls', 'prompts_mean', 'patches_max'),
    segmentation=SEGMENTATION,
    torch_names={
        'block_{block}.position/value': 'prompt_pos',
        f'{GENERATOR}/mix': 'blocks.cls.conv5.0',
        **{f'{GENERATOR}/edge_{i}': f'blocks.cls.conv{i + 1}.0' for i in range(3)},
        **{f'{GENERATOR}/{path}': f'blocks.cls.bn{number}' for path, number in NORMS.items()},
    },
    conv=('blocks.cls.conv*', 'blocks.cls.conv[123].*'),  # the first three are two-dimensional
    torch_twins={f'blocks.cls.conv{n}.1.': f'blocks.cls.bn{n}.' for n in NORMS.values()},
    identity='its prompt is a token: attention looks at it whatever its value',
    merge='its prompt depends on the cloud: no weight of the backbone can stand for it',
)
