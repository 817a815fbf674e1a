"""ReCon++'s backbone in the form that its authors fine-tune: patches in a causal order.

The patches of a cloud are a chain (`patch_order.greedy_order`), and what stands for them is what
came before: an opening token, and all patches but the last, which is never encoded. A decoder says
from these where the points of each patch are, told the direction in which it lies: a second loss.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from kernels import Groups, gather_points, knn
from point_ft_jax.core.trees import Array
from point_ft_jax.models.autoencoders.reconstruction import chamfer_l1_l2
from point_ft_jax.models.channels import PLACE
from point_ft_jax.models.layers import Dtype, Linear, layer_norm
from point_ft_jax.models.patch_order import greedy_order, reorder
from point_ft_jax.models.positions import one_frequency
from point_ft_jax.models.query_transformer import QueryBlock, QueryTransformer
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import Block, broadcast_token, drop_path_rates
from point_ft_jax.models.tuner import Tuner

CENTERS = 'patch_centers'
WITH_CLS = functools.partial(QueryBlock, num_queries=17)


class SinglePositions(nn.Module):
    """Positions [B, G, D] of centres [B, G, 3], in single precision.

    The reference keeps centres so whatever it computes in: in double precision, too, the last
    digits of a gradient are those of float32.
    """

    width: int
    dtype: Dtype | None = None

    def __call__(self, centers: Array) -> Array:
        return one_frequency(centers.astype(jnp.float32), self.width)


class CausalQueryTransformer(QueryTransformer):
    """Clouds [B, N, 3] to normalised `Tokens`; the patches are those before each, see above.

    The queries are those of images and texts and one more, the class token. In training the
    decoder's loss joins the collection 'losses', where that is asked for.

    Attributes:
        decoder_depth: of the decoder; width and heads are the backbone's.
        generation_weight: of the decoder's loss beside the task's; 0 for none.
    """

    block: Callable[..., nn.Module] = WITH_CLS
    position_map: Callable[..., nn.Module] = SinglePositions
    decoder_depth: int = 4
    generation_weight: float = 3.0

    @property
    def num_queries(self) -> int:
        return super().num_queries + 1

    def setup(self) -> None:
        super().setup()
        self.cls_token = self.param('cls_token', nn.initializers.zeros, (1, 1, self.width))
        self.sos = self.param('sos', nn.initializers.normal(1.0), (1, 1, self.width))
        self.sos_pos = self.param('sos_pos', nn.initializers.normal(1.0), (1, 1, self.width))
        self.decoder = PatchDecoder(
            self.heads,
            drop_path_rates(self.drop_path, self.decoder_depth),
            self.group_size,
            self.dtype,
        )

    def __call__(self, points: Array, tuner: Tuner, train: bool = False) -> Tokens:
        tokens = super().__call__(points, tuner, train)
        asked = self.generation_weight and self.is_mutable_collection('losses')
        if self.is_initializing() or (train and asked):
            generation = self._generation(tokens, points[..., :PLACE], train)
            self.sow('losses', 'generation', self.generation_weight * generation)
        return tokens

    def group(self, points: Array, *geometry: int) -> Groups:
        """The neighbourhoods that become patches, in their order; see `PointTransformer`."""
        grouped = super().group(points, *geometry)
        return reorder(grouped, greedy_order(grouped.centers))

    def enter(self, tokens: Tokens) -> Tokens:
        """The opening token and all patches but the last, each to see what is before it."""
        tokens = super().enter(tokens)
        cls, sos, place = (
            broadcast_token(token, tokens.patches)
            for token in (self.cls_token, self.sos, self.sos_pos)
        )
        centers = tokens.centers
        return tokens.replace(
            cls=jnp.concatenate([tokens.cls, cls], axis=1),
            patches=jnp.concatenate([sos, tokens.patches[:, :-1]], axis=1),
            patch_pos=jnp.concatenate([place, tokens.patch_pos[:, :-1]], axis=1),
            centers=jnp.concatenate([centers[:, :1], centers[:, :-1]], axis=1),
            causal=True,
            memo={**tokens.memo, CENTERS: centers},
        )

    def _generation(self, tokens: Tokens, points: Array, train: bool) -> Array:
        """The decoder's loss []: patches are compared relative to their centres."""
        centers = tokens.memo[CENTERS]
        predicted = self.decoder(tokens.patches, centers, train)
        _, indices = knn(centers, points, self.group_size)
        target = gather_points(points, indices) - centers[:, :, None]
        return chamfer_l1_l2(predicted, target).mean()


class PatchDecoder(nn.Module):
    """Tokens [B, G, D] that stand before patches at `centers` [B, G, 3] to points [B, G, K, 3].

    Attributes:
        heads, drop_paths: of its blocks; as many as there are rates.
        num_points: K.
        dtype: see `transformer.Block`.
    """

    heads: int
    drop_paths: tuple[float, ...]
    num_points: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, encoded: Array, centers: Array, train: bool = False) -> Array:
        batch, number, width = encoded.shape
        none = no_prompts(encoded)
        places = one_frequency(directions(centers.astype(jnp.float32)), width)
        tokens = Tokens(none, encoded, centers, slots=none, patch_pos=places, causal=True)
        for index, rate in enumerate(self.drop_paths):
            tokens = Block(
                width=width,
                heads=self.heads,
                tuner=Tuner(),
                index=index,
                drop_path=rate,
                train=train,
                dtype=self.dtype,
                qkv_bias=True,
                name=f'block_{index}',
            )(tokens)
        x = layer_norm(self.dtype, name='norm')(tokens.patches)
        points = Linear(3 * self.num_points, dtype=self.dtype, name='points')(x)
        points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
        return points.reshape(batch, number, self.num_points, 3)


def directions(centers: Array) -> Array:
    """[B, G, 3]: the first centre itself, then the direction from each centre to the next."""
    steps = centers[:, 1:] - centers[:, :-1]
    lengths = jnp.linalg.norm(steps, axis=-1, keepdims=True)
    return jnp.concatenate([centers[:, :1], steps / (lengths + 1e-5)], axis=1)


DECODER_NAMES = {
    'decoder/block_{block}/norm1': 'decoder.blocks.{block}.norm1',
    'decoder/block_{block}/attention/qkv': 'decoder.blocks.{block}.attn.qkv',
    'decoder/block_{block}/attention/proj': 'decoder.blocks.{block}.attn.proj',
    'decoder/block_{block}/norm2': 'decoder.blocks.{block}.norm2',
    'decoder/block_{block}/mlp/fc1': 'decoder.blocks.{block}.mlp.fc1',
    'decoder/block_{block}/mlp/fc2': 'decoder.blocks.{block}.mlp.fc2',
    'decoder/norm': 'decoder.ln_f',
    'decoder/points': 'decoder.increase_dim.0',
}
