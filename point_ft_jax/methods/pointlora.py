"""PointLoRA (CVPR 2025, arXiv 2504.16023): low-rank products and selected tokens of other scales.

The cloud is grouped twice more, by the same tokenizer, and the tokens of each grouping that a
predictor ranks highest join the sequence as prompts. In every block small MLPs, one set for all
blocks, change patches and prompts; queries, keys, values and the attention's projection have a
low-rank product and one more such MLP beside them:

    W z + B A z + w Q(z),   B zero at the start, w a frozen 1.

772,752 trainable parameters of Point-MAE with 15 classes. What its released code does and the paper
does not say:

- The selection is not learnt. Selected tokens are copied, not weighted, so that the predictor's
  only gradient is that of a loss of its own, the mean of p log p + (1-p) log(1-p): negative
  entropy, which training lowers by driving every p to a half. Which tokens are taken is then
  arbitrary, but fixed.
- The paper has the products at qkv and the MLP; the code, at qkv and the projection.
- alpha / rank is computed and not applied.
- It can not be merged, as Q is not linear: the method `lora` can.

The code is for 128 patches only; here any number will do. As the tokenizer runs three times a step,
running statistics that are not held move three times. Not an identity at the start.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import SmallMlp, recall
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.layers import Dtype, Linear
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class Predictor(nn.Module):
    """Tokens [B, G, D] to logits [B, G] of how much they matter: linear to D/2, ReLU, linear."""

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = jax.nn.relu(Linear(x.shape[-1] // 2, dtype=self.dtype, name='hidden')(x))
        return Linear(1, dtype=self.dtype, name='out')(h)[..., 0]


def negative_entropy(logits: Array) -> Array:
    """The mean [] of p log p + (1-p) log(1-p), p = sigmoid(logits), each p moved by 1e-6."""
    p = jax.nn.sigmoid(logits)
    return jnp.mean(p * jnp.log(p + 1e-6) + (1 - p) * jnp.log(1 - p + 1e-6))


class Injected(nn.Module):
    """What is beside a frozen map: [..., C] to a low-rank product [..., features], and w []."""

    rank: int
    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        linear = functools.partial(Linear, use_bias=False, dtype=self.dtype)
        zeros = nn.initializers.zeros
        z = linear(self.rank, name='down')(x)
        weight = self.param('weight', nn.initializers.ones, (1,))
        return linear(self.features, kernel_init=zeros, name='up')(z), weight[0].astype(z.dtype)


class PointLoraTuner(Tuner):
    """Low-rank products, and prompts that are patches of other groupings.

    Attributes:
        rank: of the products.
        hidden: width of the MLPs.
        targets: the maps with a product: qkv, proj, fc1, fc2 (and q, kv where there are two
            streams).
        selections: (num_groups, group_size, how many of them are kept, the weight of its loss) of
            every further grouping.
        loss_weight: of the predictor's loss, beside the task's.
    """

    rank: int = 8
    hidden: int = 32
    targets: tuple[str, ...] = ('qkv', 'proj')
    selections: tuple[tuple[int, int, int, float], ...] = ((128, 32, 32, 1.0), (64, 64, 8, 0.25))
    loss_weight: float = 0.004

    @property
    def fewest_points(self) -> int:
        return max((max(groups, size) for groups, size, *_ in self.selections), default=0)

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        tokens = super().tokens(embedding, points)
        loss = jnp.zeros((), tokens.patches.dtype)
        for groups, size, keep, weight in self.selections:
            if not 0 < keep <= groups:
                raise UserError(
                    f'PointLoRA can not keep {keep} tokens of {groups}: the third number of every '
                    'entry of method_options.selections is at most its first'
                )
            found = embedding.tokens(embedding.group(points, groups, size))
            logits = self.own(functools.partial(Predictor, embedding.dtype), 'predictor')(
                found.patches
            )
            loss += weight * negative_entropy(logits)
            # By the logits, not by p, which rounds more of them to the same.
            best = found.take(jax.lax.top_k(jax.lax.stop_gradient(logits), keep)[1])
            tokens = _append(tokens, best.patches, best.patch_pos)
        self.sow('losses', 'selection', self.loss_weight * loss)
        return tokens.replace(memo={**tokens.memo, 'pointlora': tokens.centers})

    def layer(self, module: nn.Module, x: Array) -> Array:
        y = module(x)
        if module.name not in self.targets:
            return y
        inject = functools.partial(Injected, self.rank, module.features, module.dtype)
        product, weight = self.own(inject, module)(x)
        make = functools.partial(SmallMlp, self.hidden, module.features, module.dtype)
        return y + product + weight * self.own(make, module.name)(x)

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        recall(tokens, 'pointlora', 'PointLoRA')
        settled = tokens.settle()
        make = functools.partial(SmallMlp, self.hidden, tokens.patches.shape[-1], block.dtype)
        patches, prompts = settled.patches, settled.slots
        moved = settled.replace(
            patches=patches + self.own(make, 'patches')(patches),
            slots=prompts + self.own(make, 'prompts')(prompts),
        )
        return tokens.with_sequence(block(moved).sequence())


def _append(tokens: Tokens, prompts: Array, positions: Array) -> Tokens:
    """`tokens` with more prompts [B, p, D] and their positions after those there are."""
    before = tokens.slots[:, :0] if tokens.prompt_pos is None else tokens.prompt_pos
    return tokens.with_prompts(
        jnp.concatenate([tokens.slots, prompts], axis=1),
        jnp.concatenate([before, positions], axis=1),
    )


INJECTED = 'blocks.blocks.{block}.attn'
METHOD = Method(
    trainable=(
        # All of the tuner but the factors w.
        'tuner/*/down/*',
        'tuner/*/up/*',
        'tuner/predictor/*',
        *HEAD_AND_CLS,
        'backbone/tokenizer/first_*',
        'backbone/positions/*',
    ),
    tuner=PointLoraTuner,
    readout=('cls', 'others_max'),
    torch_names={
        **{
            f'{path}/{inside}': f'blocks.{name}.{number}'
            for path, name in (
                ('patches', 'prompt_mlp'),
                ('prompts', 'prompt_pos_mlp'),
                ('proj', 'prompt_proj_mlp'),
                ('qkv', 'prompt_qkv_mlp'),
            )
            for inside, number in (('down', 0), ('up', 2))
        },
        **{
            f'block_{{block}}.attention.{map}/{leaf}': f'{INJECTED}.{map}.{name}'
            for map in ('qkv', 'proj')
            for leaf, name in (
                ('down/kernel', 'lora_A'),
                ('up/kernel', 'lora_B'),
                ('weight', 'weight'),
            )
        },
        'predictor/hidden': 'lora_mask_predictor.fc1',
        'predictor/out': 'lora_mask_predictor.fc2',
    },
    # The reference puts a module around these maps, and its factor takes their name.
    torch_inside={'*/attention/qkv': 'linear', '*/attention/proj': 'linear'},
    identity='its prompts are tokens: attention looks at them whatever their values',
    merge='beside its products are MLPs, which are not linear; use the method lora',
)
# Its authors have no part segmenter; this one reads its patches as every other.
METHOD = dataclasses.replace(METHOD, segmentation=dataclasses.replace(METHOD, readout=None))
