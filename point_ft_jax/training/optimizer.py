"""AdamW with the references' decay rule, warm-up and cosine, for the trainable half of a tree."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.training.schedules import Schedule

PLAIN, FASTER, VECTORS = 'plain', 'faster', 'vectors'


def decays(path: str, leaf: jax.Array, undecayed: Sequence[str] = ()) -> bool:
    """Whether a leaf decays: all do but vectors, biases among them, and what `undecayed` names.

    The references decide by *their* names: no decay for one dimension, for names that end in
    '.bias', for names that contain 'token'. The last spares Point-M2AE's tokenizers, `token_embed`,
    and not the others', `encoder`. A tree path has other words in it, so the model says which of
    its leaves are spared (`Model.undecayed`), and a test holds that against the rule for the
    PyTorch names of every backbone. Learned positions are three-dimensional: they decay.

    Args:
        path: of the leaf.
        leaf: an array, or its shape.
        undecayed: patterns (`fnmatch`) over paths.
    """
    return leaf.ndim != 1 and not trees.matches(path, undecayed)


def make(
    schedule: Schedule,
    *,
    weight_decay: float,
    undecayed: Sequence[str],
    clip: float | None,
    clip_percentile: int = 0,
    steps: int = 0,
    faster: Sequence[str] = (),
    faster_schedule: Schedule | None = None,
    decay_faster: bool = False,
    double_step: bool = False,
) -> optax.GradientTransformation:
    """Clipping by the global norm, then AdamW (betas 0.9 and 0.999, epsilon 1e-8).

    Made for the trainable half of a tree (holes are skipped), so that the norm is that of what
    trains.

    Args:
        schedule: the learning rate by step.
        weight_decay: decoupled, times the learning rate; of what `decays` names.
        clip: the largest norm of a gradient; None for any.
        clip_percentile: 1 to 99 clips, besides, to that percentile of the norms so far; 0 does not.
        steps: how many there will be, for `clip_percentile`, which remembers their norms.
        faster: paths that learn by `faster_schedule`.
        decay_faster: decays every one of them, vectors and biases too, as ReCon's optimizer does.
        undecayed: patterns over the paths of what does not decay besides vectors; the model's own.
        double_step: makes every step two, as the references' part segmenters train: one with the
            gradient as it is, one with the same gradient clipped.

    Raises:
        UserError: a `clip_percentile` that is not 0 to 99.
    """
    if double_step:
        schedule, faster_schedule = (_of_pairs(s) for s in (schedule, faster_schedule))

    def adamw(schedule: Schedule, decay_all: bool) -> optax.GradientTransformation:
        def mask(packed: trees.Tree) -> trees.Tree:
            return {
                group: {
                    path: decay_all or decays(path, leaf, undecayed)
                    for path, leaf in leaves.items()
                }
                if isinstance(leaves, dict)
                else leaves  # the group of another optimizer, masked
                for group, leaves in packed.items()
            }

        return optax.adamw(schedule, weight_decay=weight_decay, mask=mask)

    update = adamw(schedule, False)
    if faster:
        other = adamw(faster_schedule or schedule, decay_faster)
        groups = {PLAIN: PLAIN, FASTER: FASTER}
        update = optax.multi_transform({PLAIN: update, FASTER: other}, groups)
    if double_step:
        return _packed(twice(update, clip), faster)
    before = []
    if clip_percentile:
        before.append(clip_by_percentile(clip_percentile, steps))
    if clip:
        before.append(optax.clip_by_global_norm(clip))
    return _packed(optax.chain(*before, update), faster)


def _packed(
    update: optax.GradientTransformation, faster: Sequence[str]
) -> optax.GradientTransformation:
    """For trees as they are, what `update` does for packed ones."""

    def init(tree: trees.Tree) -> optax.OptState:
        return update.init(pack(tree, faster))

    def run(
        gradients: trees.Tree, state: optax.OptState, tree: trees.Tree
    ) -> tuple[trees.Tree, optax.OptState]:
        packed, state = update.update(pack(gradients, faster), state, pack(tree, faster))
        return unpack(packed, gradients, faster), state

    return optax.GradientTransformation(init, run)


def pack(tree: trees.Tree, faster: Sequence[str] = ()) -> trees.Tree:
    """{'plain': …, 'faster': …}, a group's leaves by path, but its vectors as one, end to end.

    A tuned model trains hundreds of vectors; an optimizer that takes them one by one is a third of
    a step's program. `faster` are patterns of the paths of the second group.
    """
    groups = {PLAIN: {}, FASTER: {}}
    for path, leaf in trees.flatten(tree).items():
        groups[_group(path, faster)][path] = leaf
    for leaves in groups.values():
        if vectors := [leaves.pop(path) for path in list(leaves) if leaves[path].ndim == 1]:
            leaves[VECTORS] = jnp.concatenate(vectors)
    return groups


def _group(path: str, faster: Sequence[str]) -> str:
    return FASTER if trees.matches(path, faster) else PLAIN


def unpack(packed: trees.Tree, like: trees.Tree, faster: Sequence[str] = ()) -> trees.Tree:
    """The inverse of `pack`, for a tree of the shape of `like`."""
    starts = {PLAIN: 0, FASTER: 0}

    def take(path: str, leaf: jax.Array) -> jax.Array:
        group = _group(path, faster)
        if leaf.ndim != 1:
            return packed[group][path]
        start = starts[group]
        starts[group] += leaf.size
        return packed[group][VECTORS][start : start + leaf.size]

    return trees.map_paths(take, like)


def _of_pairs(schedule: Schedule | None) -> Schedule | None:
    """The schedule of an optimizer that counts every step twice."""
    return schedule and (lambda count: schedule(count // 2))


def twice(update: optax.GradientTransformation, clip: float | None) -> optax.GradientTransformation:
    """Two updates at once, the second with the same gradient clipped by its global norm."""
    clipping = optax.clip_by_global_norm(clip) if clip else optax.identity()

    def both(
        gradients: trees.Tree, state: optax.OptState, tree: trees.Tree
    ) -> tuple[trees.Tree, optax.OptState]:
        first, state = update.update(gradients, state, tree)
        clipped, _ = clipping.update(gradients, clipping.init(tree))
        second, state = update.update(clipped, state, optax.apply_updates(tree, first))
        return jax.tree.map(jnp.add, first, second), state

    return optax.GradientTransformation(update.init, both)


class NormHistory(NamedTuple):
    """The state of `clip_by_percentile`.

    Attributes:
        norms: [capacity], the global norms so far in ascending order, then infinities.
        count: [] int32, how many there are.
    """

    norms: jax.Array
    count: jax.Array


def clip_by_percentile(percentile: int, capacity: int) -> optax.GradientTransformation:
    """Clips the global norm to a percentile of all norms so far, as MaskPoint does.

    The bound of a step is the k-th smallest norm of those before it and its own, where k is
    `percentile` per cent of how many went before, rounded down, and at least 1: at first the
    smallest. The history is exact for `capacity` steps; later ones drop the largest.

    Raises:
        UserError: a percentile that is not 1 to 99.
    """
    if not 1 <= percentile <= 99:
        raise UserError(f'clip_percentile is {percentile}; expected 1 to 99, or 0 for none')

    def init(tree: trees.Tree) -> NormHistory:
        return NormHistory(jnp.full(capacity, jnp.inf), jnp.zeros((), jnp.int32))

    def update(
        updates: trees.Tree, state: NormHistory, tree: trees.Tree | None = None
    ) -> tuple[trees.Tree, NormHistory]:
        norm = optax.tree.norm(updates).astype(state.norms.dtype)
        norms = _insert(state.norms, norm)
        bound = norms[jnp.maximum(percentile * state.count // 100, 1) - 1]
        scale = jnp.where(norm > bound, bound / norm, 1.0)
        updates = jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), updates)
        return updates, NormHistory(norms, jnp.minimum(state.count + 1, capacity))

    return optax.GradientTransformation(init, update)


def _insert(ascending: jax.Array, value: jax.Array) -> jax.Array:
    """An ascending vector with a value in its place, without its last."""
    place = jnp.searchsorted(ascending, value)
    index = jnp.arange(len(ascending))
    later = jnp.roll(ascending, 1)
    return jnp.where(index < place, ascending, jnp.where(index == place, value, later))
