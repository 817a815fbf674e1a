"""PointGST: tuning in the graph's spectral domain (Liang et al., TPAMI 2025, arXiv 2410.08114).

Beside each block's MLP runs a low-rank adapter that sees the patches in the eigenbases of graphs on
their centres: one graph of all, and one of each `local` neighbours along a Morton curve. 622,831
trainable parameters of Point-MAE with 15 classes. The identity at the start.

Two quirks of the reference: it multiplies by the matrix whose *columns* are the eigenvectors, where
the graph Fourier transform is by its transpose; that is the published function, `transpose` takes
the transform. And it measures distances in units of the smallest in the whole batch, so that a
cloud's logits depend on its neighbours in the batch; here each cloud has a unit of its own, unless
`batch_wide`. The signs of eigenvectors, and their choice where eigenvalues repeat, differ between
eigensolvers, and the function is not indifferent to them: expect other logits on other hardware.

The released graph is one of rounding noise. Its distances come from `torch.cdist`, which for more
than 25 points goes through a matrix product and leaves up to 3.5e-4 on the diagonal in float32. The
unit is the smallest *positive* entry, hence noise (1.7e-4 where the nearest two centres are 0.154
apart): weights off the diagonal are 1.1e-3 at most, where they should reach 1, and all eigenvalues
lie within 0.08 of 0; in float64 within 6e-6. The published models were trained in a basis that
depends on rounding, device and batch, so that their logits can not be had again from their weights.
Here distances are exact, as intended. What follows the bases is held to the reference's numbers.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from kernels import gather_points
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype, Linear, layer_norm
from point_ft_jax.models.lean import wait
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import HEAD_AND_CLS, Method, Tuner


@struct.dataclass
class Spectrum:
    """The eigenbases of a cloud's graphs.

    Attributes:
        whole: [B, G, G], of the graph of all patches; eigenvectors are columns.
        parts: [B, G / local, local, local], of the graphs of successive patches along the curve.
        order: [B, G] int32, the patches along the curve.
        place: [B, G] int32, where on the curve each patch is: the inverse of `order`.
    """

    whole: Array
    parts: Array
    order: Array
    place: Array


def spectrum(centers: Array, local: int, batch_wide: bool) -> Spectrum:
    """The spectrum of the patches at `centers` [B, G, 3]; no gradient."""
    centers = jax.lax.stop_gradient(centers)
    centers = centers.astype(jnp.promote_types(centers.dtype, jnp.float32))
    batch, size, _ = centers.shape
    order = morton_order(centers)
    sorted_centers = gather_points(centers, order).reshape(batch, size // local, local, 3)
    whole = eigenbasis(centers, batch_wide)
    # One after the other: of a batch jaxlib's eigensolver waits, on a CPU, for threads of the pool
    # that it runs in itself, and two of them at once wait for each other for ever.
    parts = eigenbasis(wait(sorted_centers, whole), batch_wide)
    return Spectrum(
        whole,
        parts,
        order,
        place=jnp.argsort(order, axis=-1).astype(jnp.int32),
    )


def eigenbasis(centers: Array, batch_wide: bool) -> Array:
    """[..., n, n]: the eigenvectors, as columns, of the Laplacian of `centers` [..., n, 3]."""
    return jnp.linalg.eigh(laplacian(centers, batch_wide))[1]


def laplacian(centers: Array, batch_wide: bool) -> Array:
    """[..., n, n]: the normalised graph Laplacian of `centers` [..., n, 3].

    Weights are 1 on the diagonal and, off it, the smallest distance over the distance; the smallest
    of the graph, or of all graphs if `batch_wide`. Centres that coincide have weight 1.
    """
    squares = jnp.square(centers[..., :, None, :] - centers[..., None, :, :]).sum(-1)
    distances = jnp.sqrt(squares)
    positive = jnp.where(distances > 0, distances, jnp.inf)
    unit = positive.min(axis=None if batch_wide else (-2, -1), keepdims=True)
    weights = jnp.where(distances > 0, unit / positive, 1.0)
    scale = jax.lax.rsqrt(weights.sum(-1) + 1e-6)
    size = centers.shape[-2]
    identity = jnp.eye(size, dtype=weights.dtype).reshape((1,) * (weights.ndim - 2) + (size, size))
    return identity - scale[..., :, None] * weights * scale[..., None, :]


def morton_order(centers: Array) -> Array:
    """[B, G] int32, the order of `centers` [B, G, 3] along a Morton curve.

    Coordinates in hundredths, truncated, as 16-bit two's complement (negative numbers come last, as
    in the reference); of bits of one weight, y's is the highest, then x's, then z's. The 48 bits
    are sorted as two halves.
    """
    cells = (centers * 100).astype(jnp.int32)
    bits = [cells[..., axis] for axis in (1, 0, 2)]

    def interleave(low: int) -> Array:
        key = jnp.zeros_like(bits[0])
        for bit in range(8):
            for place, value in enumerate(bits):
                key |= ((value >> (low + bit)) & 1) << (3 * bit + 2 - place)
        return key

    return jnp.lexsort((interleave(0), interleave(8)), axis=-1).astype(jnp.int32)


class SpectralAdapter(nn.Module):
    """The adapter: tokens [B, N, D], the last G of them patches, to [B, N, D]; zero at the start.

    Both branches share one map and have a norm each. `transpose`: see above.
    """

    rank: int
    transpose: bool
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, spectrum: Spectrum) -> Array:
        zeros = nn.initializers.zeros
        linear = functools.partial(Linear, dtype=self.dtype)
        inner = linear(self.rank, kernel_init=zeros, bias_init=zeros, name='inner')

        def filtered(basis: Array, values: Array, name: str) -> Array:
            basis = basis.astype(values.dtype)
            there, back = basis, jnp.swapaxes(basis, -1, -2)
            if self.transpose:
                there, back = back, there
            z = there @ values
            return back @ (z + jax.nn.silu(inner(layer_norm(self.dtype, name=name)(z))))

        h = linear(self.rank, kernel_init=nn.initializers.xavier_uniform(), name='down')(x)
        others = x.shape[1] - spectrum.order.shape[1]
        patches = h[:, others:]
        parts = gather_points(patches, spectrum.order)
        parts = parts.reshape(*spectrum.parts.shape[:3], -1)
        parts = filtered(spectrum.parts, parts, 'norm_parts').reshape(patches.shape)
        parts = gather_points(parts, spectrum.place)
        whole = filtered(spectrum.whole, patches, 'norm_whole')
        h = jax.nn.silu(h)
        h = jnp.concatenate([h[:, :others], h[:, others:] + whole + parts], axis=1)
        return linear(x.shape[-1], kernel_init=zeros, bias_init=zeros, name='up')(h)


class PointGstTuner(Tuner):
    """A spectral adapter beside every MLP; the spectrum is computed once for all blocks of a level.

    Attributes:
        rank: of the adapters.
        local: how many patches the small graphs have; divides the number of patches.
        batch_wide: measure distances as the reference does, in a unit of the whole batch.
        transpose: use the graph Fourier transform, not the reference's.
    """

    rank: int = 36
    local: int = 32
    batch_wide: bool = False
    transpose: bool = False

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        tokens = self._with_spectrum(tokens)
        x = block.attend(tokens)
        adapter = functools.partial(SpectralAdapter, self.rank, self.transpose, block.dtype)
        delta = self.own(adapter, block, 'adapter')(x, tokens.memo['spectrum'])
        h = block.normalize(x)
        return tokens.with_sequence(block.join(x, h, block.mlp(h)) + delta)

    def _with_spectrum(self, tokens: Tokens) -> Tokens:
        if 'spectrum' in tokens.memo:
            return tokens
        size = tokens.centers.shape[1]
        if size % self.local:
            raise UserError(
                f'PointGST splits {size} patches into parts of {self.local}: set '
                'method_options.local to a divisor of the number of patches'
            )
        found = spectrum(tokens.centers, self.local, self.batch_wide)
        return tokens.replace(memo={**tokens.memo, 'spectrum': found})


ADAPTER = 'blocks.blocks.{block}.gft_adapter'
METHOD = Method(
    trainable=('tuner/*', *HEAD_AND_CLS),
    tuner=PointGstTuner,
    torch_names={
        'block_{block}.adapter/down': f'{ADAPTER}.down',
        'block_{block}.adapter/inner': f'{ADAPTER}.adapt1',
        'block_{block}.adapter/norm_parts': f'{ADAPTER}.norm_ly2',
        'block_{block}.adapter/norm_whole': f'{ADAPTER}.norm_ly1',
        'block_{block}.adapter/up': f'{ADAPTER}.up',
    },
    identity_at_start=True,
    identity={'*/up/*': 0.0},
    merge='its adapters depend on the cloud: no weight of the backbone can stand for them',
)
