"""Trees of parameters as values: paths, labels, partition. Nothing here knows a model.

A tree is a nested dict of arrays; a path is its keys joined by '/'. A *partition* splits a tree
into two of the same shape whose holes are None, so that `jax.grad` of a function of the trainable
half never touches the frozen one.
"""

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from point_ft_jax.core.errors import UserError, some

Array = jax.Array
Tree = dict
Variables = dict[str, Tree]  # 'params' and 'batch_stats'
Targets = Any  # an array [S, ...], or a tree of them: what is known of clouds besides their points


def flatten(tree: Tree) -> dict[str, jax.Array]:
    """{path: leaf}, sorted by path; holes are not leaves."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {'/'.join(str(key.key) for key in path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, jax.Array]) -> Tree:
    """The inverse of `flatten`."""
    return traverse_util.unflatten_dict(dict(leaves), sep='/')


def map_paths(function: Callable[[str, jax.Array], object], tree: Tree) -> Tree:
    """The tree of `function(path, leaf)`; holes stay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function('/'.join(str(key.key) for key in path), leaf), tree
    )


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether `path` fits one of the `fnmatch` patterns, in which '*' crosses '/'."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def select(tree: Tree, patterns: Sequence[str]) -> Tree:
    """A tree of bools: whether each leaf's path matches.

    Raises:
        UserError: nothing matches, so that nothing would train.
    """
    chosen = map_paths(lambda path, _: matches(path, patterns), tree)
    if not any(jax.tree.leaves(chosen)):
        raise UserError(
            f'no parameter matches {", ".join(patterns)}; the tree has {", ".join(sorted(tree))}'
        )
    return chosen


def partition(tree: Tree, chosen: Tree) -> tuple[Tree, Tree]:
    """The chosen leaves and the others, two trees of the shape of `tree` with None holes."""
    yes = jax.tree.map(lambda leaf, keep: leaf if keep else None, tree, chosen)
    no = jax.tree.map(lambda leaf, keep: None if keep else leaf, tree, chosen)
    return yes, no


def combine(first: Tree, second: Tree) -> Tree:
    """The inverse of `partition`: each leaf from the half that has it."""
    return jax.tree.map(
        lambda a, b: b if a is None else a, first, second, is_leaf=lambda leaf: leaf is None
    )


def prune(tree: Tree) -> Tree:
    """The tree without its None holes."""
    return unflatten(flatten(tree))


def part_of(variables: Variables, part: str) -> Variables:
    """The variables of a part, such as the head, by collection; {} in one where it has none."""
    return {name: tree.get(part, {}) for name, tree in variables.items()}


def with_part(variables: Variables, part: str, values: Variables) -> Variables:
    """`variables` with those of a part replaced by `values`, which are as `part_of` gives them."""
    return {
        name: {**tree, part: values[name]} if values.get(name) else tree
        for name, tree in variables.items()
    }


def count(tree: Tree) -> int:
    """The number of scalars in a tree of arrays (or of shapes)."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def counts(tree: Tree, trainable: Tree) -> dict[str, tuple[int, int]]:
    """Part of the tree -> (its parameters, how many of them are trainable)."""
    moving, _ = partition(tree, trainable)
    return {part: (count(tree[part]), count(moving[part])) for part in tree}


def size_bytes(tree: Tree) -> int:
    """The bytes of a tree of arrays (or of shapes)."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def nonfinite(tree: Any, infinities: bool = True) -> list[str]:
    """The paths of the leaves that have NaN or, if asked for, infinities."""
    wrong = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.asarray(leaf.addressable_data(0) if hasattr(leaf, 'addressable_data') else leaf)
        if not np.issubdtype(leaf.dtype, np.integer) and leaf.dtype != bool:
            good = np.isfinite(leaf) if infinities else ~np.isnan(leaf)
            if not good.all():
                wrong.append(jax.tree_util.keystr(path, simple=True, separator='/'))
    return wrong


def check_finite(tree: Any, what: str) -> None:
    """Raises UserError for a tree with NaN or infinities, which is not to be saved."""
    if paths := nonfinite(tree):
        raise UserError(
            f'{what} is not saved, since {len(paths)} of its leaves are not finite '
            f'({some(paths, 3)}): its weights were damaged, or its training diverged'
        )


def stack(trees: Sequence[Tree], shared: Collection[str] = ()) -> Tree:
    """One tree whose leaves have a leading axis; the parts in `shared` are those of the first."""
    return {
        part: trees[0][part]
        if part in shared
        else jax.tree.map(lambda *leaves: jnp.stack(leaves), *(tree[part] for tree in trees))
        for part in trees[0]
    }


def pick(tree: Tree, k: int, shared: Collection[str] = ()) -> Tree:
    """The tree of the k-th member; the inverse of `stack`."""
    return {
        part: leaves if part in shared else jax.tree.map(lambda leaf: leaf[k], leaves)
        for part, leaves in tree.items()
    }


def axes(tree: Tree, shared: Collection[str] = ()) -> dict[str, int | None]:
    """`in_axes` of `jax.vmap` for a tree made by `stack`."""
    return {part: None if part in shared else 0 for part in tree}


def select_members(
    mask: Sequence[bool], one: Tree, other: Tree, shared: Collection[str] = ()
) -> Tree:
    """The members of `one` where `mask` is true, and those of `other` elsewhere."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(np.reshape(mask, (-1,) + (1,) * (a.ndim - 1)), a, b)

    return {
        part: leaves if part in shared else jax.tree.map(leaf, leaves, other[part])
        for part, leaves in one.items()
    }
