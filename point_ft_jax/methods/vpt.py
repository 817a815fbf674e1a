"""VPT-Deep (Jia et al., ECCV 2022, arXiv 2203.12119), as IDPT's authors released it for points.

Every block gets prompts of its own, with positions of their own, in place of those of the block
before; the head does not read them. 360,463 trainable parameters of Point-MAE with 15 classes;
`num_prompts=20` is the published few-shot setting.
"""

import functools

import flax.linen as nn

from point_ft_jax.methods._modules import Learned
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class VptTuner(Tuner):
    """New prompts before every block.

    Attributes:
        num_prompts: per block (P).
    """

    num_prompts: int = 10

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        learned = functools.partial(Learned, (self.num_prompts, tokens.patches.shape[-1]))
        prompts, positions = (
            self.own(learned, block, kind)(tokens.patches) for kind in ('prompts', 'positions')
        )
        return block(tokens.with_prompts(prompts, positions))


METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=VptTuner,
    torch_names={
        'block_{block}.prompts/value': 'cls_prompt_list.{block}',
        'block_{block}.positions/value': 'cls_prompt_pos_list.{block}',
    },
    identity='its prompts are tokens: attention looks at them whatever their values',
    merge='its prompts are tokens: no weight of the backbone can stand for them',
)
