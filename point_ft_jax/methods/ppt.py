"""PPT: positional prompt tuning (arXiv 2408.11567).

The cloud is grouped a second time, and these patches join the sequence as prompts: of the same
tokenizer and positions, which train in part. In every block small MLPs, one set for all blocks,
change patches and prompts before attention, and run beside the block's MLP on all tokens.

1,042,191 trainable parameters of Point-MAE with 15 classes. Not an identity at the start: the maps
are drawn from N(0, 0.02). As the tokenizer runs twice a step, so do its batch norms: each pass is
normalised by itself, and the running statistics move twice, for the patches first. That is so where
frozen batch norms are not held, as published (`batch_norm='update'`).
"""

import dataclasses
import functools

import flax.linen as nn

from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import SmallMlp, recall
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class PptTuner(Tuner):
    """Patches of a second grouping as prompts, and three MLPs that all blocks share.

    Attributes:
        num_groups, group_size: of the second grouping.
        hidden: width of the MLPs.
    """

    num_groups: int = 128
    group_size: int = 32
    hidden: int = 256

    @property
    def fewest_points(self) -> int:
        return max(self.num_groups, self.group_size)

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        tokens = super().tokens(embedding, points)
        prompts = embedding.tokens(embedding.group(points, self.num_groups, self.group_size))
        memo = {**tokens.memo, 'ppt': prompts.centers}
        return tokens.with_prompts(prompts.patches, prompts.patch_pos).replace(memo=memo)

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        recall(tokens, 'ppt', 'PPT')
        settled = tokens.settle()
        patches, prompts = settled.patches, settled.slots
        moved = settled.replace(
            patches=patches + self._mlp(block, 'patches', patches),
            slots=prompts + self._mlp(block, 'prompts', prompts),
        )
        x = block.attend(moved)
        h = block.normalize(x)
        beside = self._mlp(block, 'all', x)
        return tokens.with_sequence(block.join(x, h, block.mlp(h)) + beside)

    def _mlp(self, block: nn.Module, name: str, x: Array) -> Array:
        make = functools.partial(SmallMlp, self.hidden, x.shape[-1], block.dtype)
        return self.own(make, name)(x)


METHOD = Method(
    trainable=(
        'tuner/*',
        *HEAD_AND_CLS,
        'backbone/tokenizer/first_*',
        'backbone/positions/*',
    ),
    tuner=PptTuner,
    readout=('cls', 'patches_mean', 'prompts_mean'),
    head={'activation': 'gelu'},
    torch_names={
        f'{path}/{inside}': f'blocks.{name}.{number}'
        for path, name in (
            ('patches', 'prompt_mlp'),
            ('prompts', 'prompt_pos_mlp'),
            ('all', 'prompt_all_mlp'),
        )
        for inside, number in (('down', 0), ('up', 2))
    },
    identity='its prompts are tokens: attention looks at them whatever their values',
    merge='its prompts are tokens: no weight of the backbone can stand for them',
)
# Its authors have no part segmenter; this one reads its patches as every other.
METHOD = dataclasses.replace(
    METHOD, segmentation=dataclasses.replace(METHOD, readout=None, head={})
)
