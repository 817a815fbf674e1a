"""GAPrompt: geometry-aware point cloud prompts (ICML 2025, arXiv 2505.04119).

A small network moves the points of the cloud and makes a vector of its shape (`_gaprompt_shift`);
learned points join the cloud. In the first blocks learned tokens and the shape vector prompt the
sequence; after every block (or before it) patches pass what they have in common on to each other,
by way of coarser centres, and an adapter follows. The head reads the shape vector too.

628,147 trainable parameters of Point-MAE with 15 classes, as on PB_T50_RS; 27,660 of these the
reference computes nothing with (`adapter/unused`, the prompts of blocks 6 to 11). They are here for
the count and for its files, as are two frozen factors a block.

`propagation='aligned'`, the default, is what the paper describes. The released code (`'reference'`)
numbers the patches of a batch through, without the prompts, and looks them up in a sequence with
them: in the first blocks a cloud reads rows moved by the prompts, or tokens of *other clouds* of
the batch, so that its logits depend on these by some 10%. Published figures are of that function.

Not an identity at the start.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import farthest_point_sample, gather_points, knn
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.methods._gaprompt_shift import (
    CONVOLUTIONS,
    TORCH_NAMES,
    ShapeVector,
    ShiftNet,
)
from point_ft_jax.methods._modules import recall
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, gelu, layer_norm, max_pool
from point_ft_jax.models.tokens import Tokens, no_prompts
from point_ft_jax.models.transformer import broadcast_token
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner

PROPAGATIONS = ('aligned', 'reference')
PLACES = ('after', 'before')


class Table(nn.Module):
    """A parameter `value` of `shape`."""

    shape: tuple[int, ...]
    init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self) -> Array:
        return self.param('value', self.init, self.shape)


class Adapter(nn.Module):
    """Linear(qgelu(linear(norm(x)))), qgelu(z) = z sigmoid(1.702 z): [B, N, D] to [B, N, D]."""

    rank: int
    dropout: float
    train: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        small = nn.initializers.normal(1e-6)
        linear = functools.partial(Linear, dtype=self.dtype, bias_init=small)
        h = layer_norm(self.dtype, name='norm')(x)
        linear(1, name='unused')(h)  # the reference has it, and does not call it
        z = linear(self.rank, name='down')(h)
        z = nn.Dropout(self.dropout, deterministic=not self.train)(z * jax.nn.sigmoid(1.702 * z))
        return linear(x.shape[-1], name='up')(z)


class Prompts(nn.Module):
    """Learned tokens [p, D] for every sample of `like` [B, ...], with dropout: [B, p, D]."""

    shape: tuple[int, int]
    dropout: float
    train: bool

    @nn.compact
    def __call__(self, like: Array) -> Array:
        value = self.param('value', nn.initializers.zeros, self.shape)
        return nn.Dropout(self.dropout, deterministic=not self.train)(
            broadcast_token(value[None], like)
        )


class Common(nn.Module):
    """What the patches around coarser centres have in common: [B, M, K, D] to [B, M, D].

    `own` [B, M, D] are the tokens of the coarser centres themselves.
    """

    use_running: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, around: Array, own: Array) -> Array:
        norm = BatchNorm(self.use_running, self.dtype, name='norm')
        return gelu(norm(max_pool(around))) + 0.3 * own


def coarser(centers: Array) -> dict[str, Array]:
    """The graph from patches at `centers` [B, G, 3] to half as many of them, and back.

    'gaprompt_own' [B, M] int32, which patches are the coarser centres; 'gaprompt_near' [B, M, K]
    int32, the up to 16 patches nearest to each; 'gaprompt_weights' [B, G, M], by 1 / (squared
    distance + 1e-8), what of the (up to 64) nearest coarser centres goes to a patch.
    """
    own = farthest_point_sample(centers, max(centers.shape[1] // 2, 1))
    coarse = gather_points(centers, own)
    near = knn(coarse, centers, min(16, centers.shape[1]))[1]
    squares = jnp.square(centers[:, :, None] - coarse[:, None]).sum(axis=-1)
    weights = 1 / (squares + 1e-8)
    if own.shape[1] > 64:
        least = jax.lax.top_k(jax.lax.stop_gradient(weights), 64)[0][..., -1:]
        weights = jnp.where(weights >= least, weights, 0)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return {'gaprompt_own': own, 'gaprompt_near': near, 'gaprompt_weights': weights}


def look_up(tokens: Tokens, values: Array, indices: Array, propagation: str) -> Array:
    """Rows of `values` [B, P + G, D], prompts and patches, of the patches `indices` [B, ...].

    Of the patches meant, or of those that the reference hits: it counts G rows a cloud where there
    are P + G.
    """
    prompts = tokens.slots.shape[1]
    if propagation == 'aligned':
        return gather_points(values[:, prompts:], indices)
    batch, groups, _ = tokens.patches.shape
    first = groups * jnp.arange(batch, dtype=indices.dtype)
    rows = indices + first.reshape(-1, *[1] * (indices.ndim - 1))
    return gather_points(values.reshape(1, -1, values.shape[-1]), rows[None])[0]


class GapromptTuner(Tuner):
    """Points, tokens and adapters that know the shape of the cloud.

    Attributes:
        num_points: learned points that join the cloud.
        perturbation: how far its points move, as a share of their coordinates.
        num_prompts: learned tokens a block.
        prompt_depth: how many of the first blocks have them.
        rank: of the adapters.
        place: whether patches pass on what they have in common 'after' a block or 'before' it.
        propagation: 'aligned', or 'reference' for the released code's; see above.
        prompt_dropout, adapter_dropout, shift_dropout, shape_dropout: rates.
    """

    num_points: int = 5
    perturbation: float = 0.8
    num_prompts: int = 10
    prompt_depth: int = 6
    rank: int = 16
    place: str = 'after'
    propagation: str = 'aligned'
    prompt_dropout: float = 0.1
    adapter_dropout: float = 0.1
    shift_dropout: float = 0.2
    shape_dropout: float = 0.25

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        self._check()
        if points.shape[-1] != 3:
            raise UserError(
                f'GAPrompt learns points of x, y, z, and the points of this backbone have '
                f'{points.shape[-1]} channels: choose another method'
            )
        grouped = embedding.group(points).centers.shape[1]
        shift = functools.partial(
            ShiftNet,
            grouped,
            self.perturbation,
            self.shift_dropout,
            embedding.train,
            embedding.dtype,
        )
        moved, features = self.own(shift, 'shift')(points)
        uniform = nn.initializers.uniform(0.02)
        table = functools.partial(
            Table, (1, self.num_points, 3), lambda *args: uniform(*args) - 0.01
        )
        extra = broadcast_token(5 * self.own(table, 'points')(), moved)
        tokens = super().tokens(embedding, jnp.concatenate([moved, extra], axis=1))
        memo = {**self._shape(embedding, tokens, features), **coarser(tokens.centers)}
        return tokens.replace(memo={**tokens.memo, **memo})

    def _check(self) -> None:
        for name, value, known in (
            ('propagation', self.propagation, PROPAGATIONS),
            ('place', self.place, PLACES),
        ):
            if value not in known:
                raise UserError(
                    f'method_options.{name} is {value!r}; expected {" or ".join(map(repr, known))}'
                )

    def _shape(self, embedding: Embedding, tokens: Tokens, features: Array) -> dict[str, Array]:
        """The shape vector [B, 1, D], for the head too, and the prompts' positions [B, p, D]."""
        vector = functools.partial(
            ShapeVector,
            tokens.patches.shape[-1],
            self.shape_dropout,
            embedding.train,
            embedding.dtype,
        )
        shape = self.own(vector, 'shape')(features)[:, None]
        normal = nn.initializers.truncated_normal(0.06)
        table = functools.partial(Table, (self.num_prompts, 3), normal)
        positions = embedding.positions(self.own(table, 'prompt_centers')())
        return {
            'aside': shape,
            'gaprompt_positions': broadcast_token(positions[None], tokens.patches),
        }

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        positions = recall(tokens, 'gaprompt_positions', 'GAPrompt')
        before = tokens.with_prompts(no_prompts(tokens.patches))
        tokens, shape = before.settle(), jnp.zeros((), tokens.patches.dtype)
        learned = self._learned(block, tokens)
        if block.index < self.prompt_depth:
            shape = tokens.memo['aside'] / 2
            tokens = tokens.with_prompts(learned + shape + positions)
        steps = [functools.partial(self._propagate, block), block]
        for step in steps if self.place == 'before' else reversed(steps):
            tokens = step(tokens)
        adapter = functools.partial(
            Adapter, self.rank, self.adapter_dropout, block.train, block.dtype
        )
        others = tokens.others
        others = others + 0.7 * self.own(adapter, block, 'adapter')(others + shape)
        return before.replace(cls=tokens.cls, patches=others[:, tokens.slots.shape[1] :])

    def _learned(self, block: nn.Module, tokens: Tokens) -> Array:
        """The block's learned prompts, and two factors that the reference has and does not use."""
        for name in ('scaler1', 'scaler2'):
            self.own(functools.partial(Table, (1,), nn.initializers.ones), block, name)()
        shape = (self.num_prompts, tokens.patches.shape[-1])
        prompts = functools.partial(Prompts, shape, self.prompt_dropout, block.train)
        return self.own(prompts, block, 'prompts')(tokens.patches)

    def _propagate(self, block: nn.Module, tokens: Tokens) -> Tokens:
        """The tokens after patches have passed on what they have in common."""
        memo, rows = tokens.memo, tokens.others
        # The residual of a drop path around nothing: twice the token, in evaluation.
        doubled = rows + block.drop(rows)
        around = look_up(tokens, doubled, memo['gaprompt_near'], self.propagation)
        own = look_up(tokens, rows, memo['gaprompt_own'], self.propagation)
        common = self.own(functools.partial(Common, not block.train, block.dtype), block, 'common')
        weights = memo['gaprompt_weights'].astype(rows.dtype)
        return tokens.replace(patches=tokens.patches + 0.3 * weights @ common(around, own))


BLOCK = 'blocks.blocks.{block}'
METHOD = Method(
    trainable=(
        # All of the tuner but the two factors of every block.
        *('tuner/shift/*', 'tuner/shape/*', 'tuner/points/*', 'tuner/prompt_centers/*'),
        *('tuner/*.prompts/*', 'tuner/*.common/*', 'tuner/*.adapter/*'),
        *HEAD_AND_CLS,
    ),
    tuner=GapromptTuner,
    readout=('cls', 'patches_max', 'aside'),
    head={'dropout': 0.6},
    torch_names={
        **TORCH_NAMES,
        'points/value': 'point_prompt.points',
        'prompt_centers/value': 'prompt_cor',
        'block_{block}.prompts/value': f'{BLOCK}.prompt_embeddings',
        'block_{block}.scaler1/value': f'{BLOCK}.scaler1',
        'block_{block}.scaler2/value': f'{BLOCK}.scaler2',
        'block_{block}.common/norm': f'{BLOCK}.out_transform.0',
        'block_{block}.adapter/norm': f'{BLOCK}.adapter.layer_norm',
        'block_{block}.adapter/unused': f'{BLOCK}.adapter.scale',
        'block_{block}.adapter/down': f'{BLOCK}.adapter.ln1',
        'block_{block}.adapter/up': f'{BLOCK}.adapter.ln2',
    },
    conv=CONVOLUTIONS,
    identity='its learned points and tokens are tokens: attention looks at them at any value',
    merge='its prompts and adapters depend on the cloud: no weight can stand for them',
)
# Its authors have no part segmenter; this one reads its patches as every other.
METHOD = dataclasses.replace(
    METHOD, segmentation=dataclasses.replace(METHOD, readout=None, head={})
)
