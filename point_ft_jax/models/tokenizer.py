"""Groups of points to tokens: the mini-PointNet of Point-BERT and all that came after it."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import (
    KERNEL_INIT,
    BatchNorm,
    Dtype,
    Linear,
    max_pool,
    uniform_init,
)
from point_ft_jax.models.recomputation import AUTO, keeping
from point_ft_jax.models.rows import along_last, product

BLOCK_ROWS = 4096  # points at a time; their 512 float32 features fill 8 MiB
_blocked = contextvars.ContextVar('blocked', default=True)


@contextlib.contextmanager
def unblocked() -> Iterator[None]:
    """What is traced inside takes all groups at once: XLA counts the body of a loop once."""
    token = _blocked.set(False)
    try:
        yield
    finally:
        _blocked.reset(token)


def require_points(points: Array, fewest: int) -> None:
    """Raises UserError, at trace time, unless clouds [B, N, 3] have at least `fewest` points."""
    if points.shape[-2] < fewest:
        raise UserError(
            f'clouds of {points.shape[-2]} points; this backbone needs {fewest} at least, as many '
            'as its groups and as the neighbours in one: give it larger clouds, or a geometry with '
            'fewer groups'
        )


class MiniPointNet(nn.Module):
    """Embeds each neighbourhood by itself: [B, G, K, C] to [B, G, width].

    Two stages of linear maps with batch norm and ReLU between them; the second sees, for every
    point, the maximum over its group beside the point's own features. `widths` are those of all
    linear maps but the last; the second stage has two.

    With running statistics every group is independent of the others; the CPU then takes some at a
    time, so that what lies between two maps stays in its cache: twice as fast.
    """

    width: int
    use_running: bool
    widths: tuple[int, ...] = (128, 256, 512)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, groups: Array) -> Array:
        if self.use_running and _blocked.get() and not self.is_initializing():
            alone = self.clone(parent=None, name=None)
            return _in_blocks(functools.partial(_apply_whole, alone, self.variables), groups)
        *first, second = self.widths

        def norm(name: str) -> BatchNorm:
            return BatchNorm(self.use_running, self.dtype, name=name)

        x = Linear(first[0], dtype=self.dtype, name='first_0')(groups)
        for index, width in enumerate(first[1:], 1):
            h = jax.nn.relu(norm('first_norm' if index == 1 else f'first_norm_{index}')(x))
            last = Linear(width, dtype=self.dtype, name=f'first_{index}')
            x = last(h)
        both = GlobalLocal(second, dtype=self.dtype, name='second_0')
        x = both(x, h, last.variables['params'] if h.shape[-1] < x.shape[-1] else None)
        x = Linear(self.width, dtype=self.dtype, name='second_1')(
            jax.nn.relu(norm('second_norm')(x))
        )
        return max_pool(x)


def _apply_whole(module: MiniPointNet, variables: dict, groups: Array) -> Array:
    """What an unbound module gives of all groups; no method, or Flax would capture its output.

    It runs inside a loop, whose values must not be kept beside it.
    """
    with unblocked():
        return module.apply(variables, groups)


def mini_pointnet(memory: str, use_running: bool) -> Callable[..., MiniPointNet]:
    """`MiniPointNet`, which in training with the batch's statistics keeps what `memory` says.

    With 'fast' too that is no more than the results of products: between those stand a norm and a
    ReLU, which cost next to nothing to repeat. Running statistics normalise where nothing in it
    trains, and nothing is kept.
    """
    if use_running:
        return MiniPointNet
    return keeping('balanced' if memory in ('fast', AUTO) else memory, MiniPointNet)


def _in_blocks(embed: Callable[[Array], Array], groups: Array) -> Array:
    """`embed` of groups [B, G, K, C]; on the CPU about BLOCK_ROWS points at a time.

    The groups of every cloud are divided, not the clouds, which may be spread over devices.
    """
    batch, count, size, _ = groups.shape
    divisors = [b for b in range(1, count + 1) if count % b == 0]
    block = max([b for b in divisors if batch * b * size <= BLOCK_ROWS], default=1)

    def blocked(groups: Array) -> Array:
        parts = groups.reshape(batch, count // block, block, *groups.shape[2:])
        embedded = jax.lax.map(embed, jnp.moveaxis(parts, 1, 0))
        return jnp.moveaxis(embedded, 0, 1).reshape(batch, count, -1)

    return jax.lax.platform_dependent(groups, cpu=blocked, default=embed)


class GlobalLocal(nn.Module):
    """A linear map of [maximum over the group, own features], without repeating the maximum.

    Its kernel [2C, features] is that of the concatenation; the first half needs one product a
    group, not one a point: [B, G, K, C] to [B, G, K, features]. Where `x` is a linear map of fewer
    numbers `h`, its parameters `before`, the second half and that map are one.
    """

    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, x: Array, h: Array | None = None, before: Mapping[str, Array] | None = None
    ) -> Array:
        width = x.shape[-1]
        kernel = self.param('kernel', KERNEL_INIT, (2 * width, self.features))
        bias = self.param('bias', uniform_init((2 * width) ** -0.5), (self.features,))
        local = kernel[width:]
        if before:
            bias = bias + before['bias'] @ local
            local, own = before['kernel'] @ local, h
        else:
            own = x
        own, x, kernel, local, bias = promote_dtype(own, x, kernel, local, bias, dtype=self.dtype)
        shared = product(max_pool(x), kernel[:width])
        shared += along_last(bias, shared)
        return product(own, local) + shared[..., None, :]
