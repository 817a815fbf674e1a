"""Losses per sample, and those that modules bring along."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from point_ft_jax.core.trees import Array, Tree


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """[B] cross entropy of `logits` [B, C] with `labels` [B] int in 0..C-1.

    With `smoothing` eps the target is 1 - eps for the label and eps / (C - 1) for every other
    class: the form of the point-cloud papers, not eps / C for all.
    """
    num_classes = logits.shape[-1]
    log_probs = jax.nn.log_softmax(logits)
    other = smoothing / (num_classes - 1) if smoothing else 0.0
    target = jax.nn.one_hot(labels, num_classes, dtype=logits.dtype)
    target = target * (1.0 - smoothing - other) + other
    return -jnp.sum(target * log_probs, axis=-1)


def auxiliary(updates: Mapping[str, Tree]) -> Array | float:
    """The sum of what modules put (`sow`) into the collection 'losses' in a pass; 0 for nothing."""
    return sum(jax.tree.leaves(updates.get('losses', {})), start=0.0)
