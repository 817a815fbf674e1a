"""IDPT's part segmenter, which prompts otherwise than its classifier.

Before each of three blocks a small generator makes a prompt of the patches; the block sees it, and
afterwards it is gone. The head reads, in place of pooled patches, each prompt before its block and
after it. 5,686,066 trainable parameters of Point-MAE with 50 parts, of which 2,304 are norms that
the reference registers and never runs through: they are here for the count and for its files.
"""

import functools

import flax.linen as nn

from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import Learned
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, leaky, max_pool
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class SmallGenerator(nn.Module):
    """Patches [B, G, D] to one prompt [B, 1, D]: linear, batch norm, leaky ReLU, maximum."""

    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, patches: Array) -> Array:
        mix = Linear(patches.shape[-1], use_bias=False, dtype=self.dtype, name='mix')
        norm = BatchNorm(self.use_running, self.dtype, name='mix_norm')
        BatchNorm(True, self.dtype, name='unused_norm')(patches)
        return max_pool(leaky(norm(mix(patches))))[:, None]


class IdptSegmentationTuner(Tuner):
    """A generated prompt for each of some blocks, and for that block alone.

    The tokens that leave such a block have two prompts: what entered it, and what left it.

    Attributes:
        prompt_layers: the blocks, from 0 (in a hierarchy, of every level); those after which the
            head reads the tokens.
    """

    prompt_layers: tuple[int, ...] = (3, 7, 11)

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        patches = tokens.patches
        tokens = tokens.with_prompts(no_prompts(patches))
        if block.index not in self.prompt_layers:
            return block(tokens)
        if 'position' not in tokens.memo:  # one for all blocks of a level
            learned = functools.partial(Learned, (1, patches.shape[-1]))
            position = self.own(learned, block.parent, 'position')(patches)
            tokens = tokens.replace(memo={**tokens.memo, 'position': position})
        generator = functools.partial(SmallGenerator, not block.train, block.dtype)
        prompt = self.own(generator, block, 'generator')(patches)
        tokens = block(tokens.prepend(prompt, tokens.memo['position']))
        return tokens.replace(prompt_pos=None).prepend(prompt)


GENERATOR = 'block_{block}.generator'

SEGMENTATION = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=IdptSegmentationTuner,
    readout=('prompts_first', 'prompts_last'),
    head={'suffix': '_cls'},
    torch_names={
        'position/value': 'prompt_cls_pos',
        f'{GENERATOR}/mix': 'blocks.dgcnn_cls{block}.conv5.0',
        f'{GENERATOR}/mix_norm': 'blocks.dgcnn_cls{block}.conv5.1',
        f'{GENERATOR}/unused_norm': 'blocks.dgcnn_cls{block}.bn5',
    },
    conv=('blocks.dgcnn_cls*',),
    merge='its prompts depend on the cloud: no weight of the backbone can stand for them',
)
