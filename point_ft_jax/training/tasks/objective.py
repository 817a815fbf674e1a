"""The losses of pre-training: reconstruction, teachers' features, contrast among clouds."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.models.autoencoders.reconstruction import CHAMFER, Reconstruction
from point_ft_jax.models.layers import Array

TEMPERATURE = 0.1


def losses(
    found: Reconstruction, targets: Mapping[str, Array], chamfer: str = 'chamfer_l2'
) -> dict[str, Array]:
    """The terms of the loss, by name; their sum is what is minimised.

    'reconstruction' is always there; 'image' and 'text' are for the teachers' features in
    `targets`, smooth L1; 'contrast' is for its 'labels'.

    Args:
        found: the autoencoder's.
        targets: 'labels' [B], and a teacher's features [B, F] for every teacher of `found`.
        chamfer: a name of `reconstruction.CHAMFER`.
    """
    patches = CHAMFER[chamfer](found.predicted, found.target)
    hidden = found.hidden.astype(patches.dtype)
    terms = {'reconstruction': (patches * hidden).sum() / hidden.sum()}
    for name, projection in found.projections.items():
        if name == CONTRAST:
            terms[name] = contrast(projection, targets['labels']).mean()
        else:
            terms[name] = smooth_l1(projection, targets[name]).mean()
    return terms


def cloud_errors(found: Reconstruction, chamfer: str = 'chamfer_l2') -> Array:
    """[B], the mean Chamfer distance of each cloud's hidden patches."""
    patches = CHAMFER[chamfer](found.predicted, found.target)
    hidden = found.hidden.astype(patches.dtype)
    return (patches * hidden).sum(axis=1) / jnp.maximum(hidden.sum(axis=1), 1)


def smooth_l1(found: Array, target: Array) -> Array:
    """Half the square of a difference up to 1, beyond that its size less a half; elementwise."""
    difference = jnp.abs(found - target)
    return jnp.where(difference < 1, 0.5 * jnp.square(difference), difference - 0.5)


def contrast(projections: Array, labels: Array, temperature: float = TEMPERATURE) -> Array:
    """[B], ReCon's supervised contrastive loss of projections [B, D] with labels [B].

    Among the cosines to a cloud's batch, the mean of those of its own class (itself among them)
    stands, as one, against each of the others.
    """
    unit = projections / jnp.maximum(jnp.linalg.norm(projections, axis=1, keepdims=True), 1e-12)
    cosines = jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)
    same = labels[:, None] == labels[None]
    own = jnp.where(same, cosines, 0).sum(axis=1) / same.sum(axis=1)
    others = jnp.where(same, -jnp.inf, cosines / temperature)
    both = jnp.concatenate([own[:, None] / temperature, others], axis=1)
    return jax.nn.logsumexp(both, axis=1) - own / temperature
