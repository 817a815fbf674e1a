"""Several models that share one frozen backbone, side by side in one program.

What differs between them is stacked along a leading axis of length K; what does not is there once,
and so is all that is computed from it alone.
"""

import dataclasses
from collections.abc import Collection, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees as params


@dataclasses.dataclass(frozen=True)
class Member:
    """What tells one run from another of the same recipe.

    Attributes:
        seed: of the order of the clouds and of everything random in a step.
        rate: its learning rate, as a multiple of the recipe's.
    """

    seed: int = 0
    rate: float = 1.0


def stack(trees: Sequence[params.Tree], shared: Collection[str] = ()) -> params.Tree:
    """One tree whose leaves have a leading axis; the parts in `shared` are those of the first."""
    return {
        part: trees[0][part]
        if part in shared
        else jax.tree.map(lambda *leaves: jnp.stack(leaves), *(tree[part] for tree in trees))
        for part in trees[0]
    }


def pick(tree: params.Tree, k: int, shared: Collection[str] = ()) -> params.Tree:
    """The tree of the k-th member; the inverse of `stack`."""
    return {
        part: leaves if part in shared else jax.tree.map(lambda leaf: leaf[k], leaves)
        for part, leaves in tree.items()
    }


def axes(tree: params.Tree, shared: Collection[str] = ()) -> dict[str, int | None]:
    """`in_axes` of `jax.vmap` for a tree made by `stack`."""
    return {part: None if part in shared else 0 for part in tree}


def choose(
    first: Sequence[bool], one: params.Tree, other: params.Tree, shared: Collection[str] = ()
) -> params.Tree:
    """The members of `one` where `first` says so, and those of `other` elsewhere."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(np.reshape(first, (-1,) + (1,) * (a.ndim - 1)), a, b)

    return {
        part: leaves if part in shared else jax.tree.map(leaf, leaves, other[part])
        for part, leaves in one.items()
    }
