"""What the forward pass keeps for the backward pass, as a choice with a name."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name

# 'fast' computes nothing again but what costs next to nothing; 'balanced' keeps the results of
# products with weights and computes the rest again; 'least' keeps what enters.
MEMORY = ('fast', 'balanced', 'least')
AUTO = 'auto'  # the first of those that fits the device; 'fast' until a program says
KEPT = 'kept'
LONG = 128  # a product that sums over fewer numbers, as a low-rank one, costs little to repeat


def keeping(memory: str, target: Callable[..., Any]) -> Callable[..., Any]:
    """A module class, or a function of modules and arrays, that keeps what `memory` says.

    Raises:
        ValueError: no such choice.
    """
    if memory in ('fast', AUTO):
        return target
    if memory not in MEMORY:
        raise ValueError(f'memory is {memory!r}; expected one of {", ".join((*MEMORY, AUTO))}')
    return nn.remat(target, policy=_keep_products if memory == 'balanced' else None)


def kept(array: jax.Array) -> jax.Array:
    """`array`, marked as small and dear: kept where products are."""
    return checkpoint_name(array, KEPT)


def _keep_products(primitive: Any, *avals: Any, **params: Any) -> bool:
    if primitive.name == 'name':
        return params['name'] == KEPT
    if primitive.name != 'dot_general':
        return False
    (contracting, _), (batch, _) = params['dimension_numbers']
    return not batch and math.prod(avals[0].shape[axis] for axis in contracting) >= LONG
