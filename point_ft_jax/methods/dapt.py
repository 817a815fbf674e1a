"""DAPT: dynamic adapters and internal prompts (Zhou et al., CVPR 2024, arXiv 2403.01439).

Every frozen map's output is scaled and shifted (TFTS). Beside each block's MLP runs an adapter
whose output each token scales for itself; its mean over the tokens, after GELU, becomes a prompt
that the later blocks see. Like the reference, positions are added once, before the first block,
where the pre-trained models add them before every block (`positions_every_block` does that).

Not an identity at the start: the scales and shifts are drawn from N(1, 0.02) and N(0, 0.02).
"""

import dataclasses
import functools

import flax.linen as nn
import jax

from point_ft_jax.core.trees import Array
from point_ft_jax.methods._modules import ScaleShift
from point_ft_jax.models.layers import Dtype, Linear, gelu, layer_norm
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


class DynamicAdapter(nn.Module):
    """A low-rank MLP, its output scaled by a ReLU of each token: [B, N, D] to [B, N, D]."""

    rank: int
    dropout: float
    train: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, h: Array) -> Array:
        zeros = nn.initializers.zeros
        linear = functools.partial(Linear, dtype=self.dtype, bias_init=zeros)
        v = layer_norm(self.dtype, name='norm')(h)
        scale = jax.nn.relu(linear(1, name='scale')(v))
        z = nn.Dropout(self.dropout, deterministic=not self.train)(
            gelu(linear(self.rank, name='down')(v))
        )
        return scale * linear(h.shape[-1], kernel_init=zeros, name='up')(z)


class DaptTuner(Tuner):
    """Scales and shifts at every layer, an adapter and a prompt at every block.

    Attributes:
        rank: of the adapters.
        adapter_dropout: rate inside the adapters.
        positions_every_block: add the patches' positions before every block, not once.
        slots: prompts and empty slots together are a multiple of it, so that as many blocks see the
            same number of tokens: XLA then compiles their step in half the time. 0 for none empty.
    """

    rank: int = 64
    adapter_dropout: float = 0.0
    positions_every_block: bool = False
    slots: int = 4

    def layer(self, module: nn.Module, x: Array) -> Array:
        return self.own(ScaleShift, module)(module(x))

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        if not self.positions_every_block:
            tokens = tokens.settle()
        if self.slots:
            tokens = tokens.with_room(self.slots)
        x = block.attend(tokens)
        h = block.normalize(x)
        adapter = functools.partial(
            DynamicAdapter, self.rank, self.adapter_dropout, block.train, block.dtype
        )
        delta = self.own(adapter, block, 'adapter')(h)
        x = block.join(x, h, block.mlp(h) + delta)
        mean = tokens.mean(gelu(delta))
        return tokens.with_sequence(x).prepend(self.own(ScaleShift, block, 'prompt')(mean))


def _scale_shift_names() -> dict[str, str]:
    """The reference numbers its scales and shifts within each of its modules."""
    places = {
        'tokenizer': ('', 1),
        'norm': ('', 2),
        'block_{block}.norm1': ('blocks.blocks.{block}.', 1),
        'block_{block}.norm2': ('blocks.blocks.{block}.', 2),
        'block_{block}.prompt': ('blocks.blocks.{block}.', 3),
        'block_{block}.mlp.fc1': ('blocks.blocks.{block}.mlp.', 1),
        'block_{block}.mlp.fc2': ('blocks.blocks.{block}.mlp.', 2),
        'block_{block}.attention.qkv': ('blocks.blocks.{block}.attn.', 1),
        'block_{block}.attention.proj': ('blocks.blocks.{block}.attn.', 2),
    }
    return {
        f'{owner}/{leaf}': f'{module}tfts_{leaf}_{number}'
        for owner, (module, number) in places.items()
        for leaf in ('gamma', 'beta')
    }


ADAPTER = 'blocks.blocks.{block}.Adapter_MLP'

METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=DaptTuner,
    readout=('cls', 'prompts_mean', 'patches_max'),
    torch_names={
        **_scale_shift_names(),
        'block_{block}.adapter/norm': f'{ADAPTER}.adapter_layer_norm_before',
        'block_{block}.adapter/scale': f'{ADAPTER}.scale',
        'block_{block}.adapter/down': f'{ADAPTER}.down_proj',
        'block_{block}.adapter/up': f'{ADAPTER}.up_proj',
    },
    # Its prompts are then zeros, which still take their share of attention.
    identity={'*/gamma': 1.0, '*/beta': 0.0, '*/up/*': 0.0},
    as_pretrained={'positions_every_block': True},
    merge='its adapters and prompts depend on the cloud: no weight can stand for them',
)

# Its part segmenter was never released. Its authors say that the structure is IDPT's; with IDPT's
# decoder, which takes two descriptors of the cloud beside each point, rank 30 trains 5,646,118
# parameters, the tables' 5.65M. Which two is not known: here they are those of the classifier, but
# for the class token, which IDPT's segmenter has not.
METHOD = dataclasses.replace(
    METHOD,
    segmentation=dataclasses.replace(METHOD, readout=('prompts_mean', 'patches_max')),
)
