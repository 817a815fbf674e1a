"""Trees of parameters as values: paths, labels, partition. Nothing here knows a model.

A tree is a nested dict of arrays; a path is its keys joined by '/'. A *partition* splits a tree into
two of the same shape whose holes are None, so that `jax.grad` of a function of the trainable half
never touches the frozen one.
"""

import fnmatch
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from flax import traverse_util

from point_ft_jax.errors import UserError

Tree = dict


def flatten(tree: Tree) -> dict[str, jax.Array]:
    """{path: leaf}, in the tree's order."""
    return traverse_util.flatten_dict(tree, sep='/')


def unflatten(leaves: Mapping[str, jax.Array]) -> Tree:
    """The inverse of `flatten`."""
    return traverse_util.unflatten_dict(dict(leaves), sep='/')


def map_paths(function: Callable[[str, jax.Array], object], tree: Tree) -> Tree:
    """The tree of `function(path, leaf)`."""
    return unflatten({path: function(path, leaf) for path, leaf in flatten(tree).items()})


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether `path` fits one of the `fnmatch` patterns, in which '*' crosses '/'."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def select(tree: Tree, patterns: Sequence[str]) -> Tree:
    """A tree of bools: whether each leaf's path matches.

    Raises:
        UserError: nothing matches, so that nothing would train.
    """
    chosen = {path: matches(path, patterns) for path in flatten(tree)}
    if not any(chosen.values()):
        raise UserError(
            f'no parameter matches {", ".join(patterns)}; the tree has '
            f'{", ".join(sorted({path.split("/")[0] for path in chosen}))}'
        )
    return unflatten(chosen)


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
    return unflatten({path: leaf for path, leaf in flatten(tree).items() if leaf is not None})


def count(tree: Tree) -> int:
    """The number of scalars in a tree of arrays (or of shapes)."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def size_bytes(tree: Tree) -> int:
    """The bytes of a tree of arrays (or of shapes)."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
