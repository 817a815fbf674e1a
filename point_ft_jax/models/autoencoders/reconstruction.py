"""What an autoencoder gives: patches beside what they should be, and what teachers are shown."""

import jax.numpy as jnp
from flax import struct

from kernels import chamfer_distance
from point_ft_jax.core.trees import Array


@struct.dataclass
class Reconstruction:
    """The hidden patches of clouds, predicted and true.

    Attributes:
        predicted: [B, M, K, 3], relative to the patches' centres.
        target: [B, M, L, 3], likewise; L may differ from K.
        centers: [B, M, 3].
        hidden: [B, M] bool, which of these M patches were hidden; the others do not count.
        visible: [B, P, 3], the points that were to be seen, for pictures; NaN where none is.
        projections: what the learned tokens say of the whole cloud: 'image' [B, 768], 'text'
            [B, 512], 'contrast' [B, 128], or fewer.
        auxiliary: terms [] of the loss beside the reconstruction's, by name.
    """

    predicted: Array
    target: Array
    centers: Array
    hidden: Array
    visible: Array
    projections: dict[str, Array] = struct.field(default_factory=dict)
    auxiliary: dict[str, Array] = struct.field(default_factory=dict)


def chamfer_l2(predicted: Array, target: Array) -> Array:
    """[B, M], a Chamfer distance of each patch: mean squared distances, one way plus the other."""
    return sum(way.mean(axis=-1) for way in _ways(predicted, target))


def chamfer_l1(predicted: Array, target: Array) -> Array:
    """[B, M], a Chamfer distance of each patch: the mean of both ways' mean distances."""
    return sum(0.5 * _root(way).mean(axis=-1) for way in _ways(predicted, target))


def chamfer_l1_l2(predicted: Array, target: Array) -> Array:
    """[B, M], the sum of the two, as PointGPT has it."""
    return chamfer_l1(predicted, target) + chamfer_l2(predicted, target)


CHAMFER = {f.__name__: f for f in (chamfer_l2, chamfer_l1, chamfer_l1_l2)}


def _ways(predicted: Array, target: Array) -> list[Array]:
    """Squared distances [B, M, K] from each predicted point to the nearest true one, and back."""
    batch, patches = predicted.shape[:2]
    flat = (a.reshape(batch * patches, *a.shape[2:]) for a in (predicted, target))
    return [way.reshape(batch, patches, -1) for way in chamfer_distance(*flat)]


def _root(x: Array) -> Array:
    """The square root, with no gradient at zero, where it has none."""
    zero = x <= 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))
