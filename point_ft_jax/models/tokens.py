"""The tokens of a cloud on their way through a transformer, kept apart by kind.

Where a method adds a prompt at every block, every block sees another number of tokens, and XLA
shares no compiled code between them. `Tokens.with_room` gives several blocks the same number: it
leaves slots empty, which nothing attends to, pools, or reads.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from kernels import gather_points
from point_ft_jax.core.trees import Array


@struct.dataclass
class Tokens:
    """Tokens by kind, with the positions that a block adds to them.

    The order in a sequence is cls, prompts, empty slots, patches. A position of None counts as
    zero.

    Attributes:
        cls: [B, S, D], the learned global tokens (S may be 0; ReCon has three).
        patches: [B, G, D].
        centers: [B, G, 3], where the patches are.
        slots: [B, P, D], what a tuning method has put in (P may be 0), the newest first, then the
            empty slots.
        cls_pos, prompt_pos, patch_pos: positions, of the shape of `cls`, `slots` and `patches`, or
            None.
        mask: [B, G, G] bool or None; which patches a patch attends to. Other tokens see all.
        causal: whether a token sees none that comes later in the sequence, whatever `mask` says.
        empty: how many slots are empty.
        memo: what has been computed from the centres, by name, for later blocks to use again.
        features: what a backbone itself reads off for a head, [B, F] each, by name: 'aligned' is
            where the cloud is in a space of texts.
    """

    cls: Array
    patches: Array
    centers: Array
    slots: Array
    cls_pos: Array | None = None
    prompt_pos: Array | None = None
    patch_pos: Array | None = None
    mask: Array | None = None
    causal: bool = struct.field(pytree_node=False, default=False)
    empty: int = struct.field(pytree_node=False, default=0)
    memo: Mapping[str, object] = struct.field(default_factory=dict)
    features: Mapping[str, Array] = struct.field(default_factory=dict)

    @property
    def prompts(self) -> Array:
        """[B, P - empty, D], the newest first."""
        return self.slots[:, : self.slots.shape[1] - self.empty]

    @property
    def others(self) -> Array:
        """[B, P - empty + G, D], prompts and patches."""
        return jnp.concatenate([self.prompts, self.patches], axis=1)

    @property
    def aside(self) -> Array:
        """[B, A, D], what a tuner has put into `memo` for the head to read; A may be 0."""
        return self.memo.get('aside', no_prompts(self.patches))

    def sequence(self) -> Array:
        """All tokens and empty slots, [B, S + P + G, D], without positions."""
        return jnp.concatenate([self.cls, self.slots, self.patches], axis=1)

    def with_sequence(self, x: Array) -> 'Tokens':
        """These tokens with the values of `x` [B, S + P + G, D]."""
        first = self.cls.shape[1]
        second = first + self.slots.shape[1]
        return self.replace(cls=x[:, :first], slots=x[:, first:second], patches=x[:, second:])

    def positioned(self) -> Array:
        """All tokens with their positions added, [B, S + P + G, D]: what a block starts from."""
        return self.settle().sequence()

    def settle(self) -> 'Tokens':
        """Tokens with their positions added for good: no later block adds them again."""

        def add(tokens: Array, position: Array | None) -> Array:
            return tokens if position is None else tokens + position.astype(tokens.dtype)

        return self.replace(
            cls=add(self.cls, self.cls_pos),
            slots=add(self.slots, self.prompt_pos),
            patches=add(self.patches, self.patch_pos),
            cls_pos=None,
            prompt_pos=None,
            patch_pos=None,
        )

    def take(self, indices: Array) -> 'Tokens':
        """With the patches of `indices` [B, V] int32 only, in their order.

        For tokens that see everything: of `mask`, nothing is taken.
        """
        return self.replace(
            patches=gather_points(self.patches, indices),
            centers=gather_points(self.centers, indices),
            patch_pos=None if self.patch_pos is None else gather_points(self.patch_pos, indices),
        )

    def with_prompts(self, prompts: Array, positions: Array | None = None) -> 'Tokens':
        """With `prompts` [B, p, D] in place of those there are, at `positions` or at zero."""
        return self.replace(slots=prompts, prompt_pos=positions, empty=0)

    def prepend(self, prompts: Array, positions: Array | None = None) -> 'Tokens':
        """With `prompts` [B, p, D] put in front of those there are, at `positions` or at zero.

        They take empty slots as far as there are any.
        """
        left = max(self.empty - prompts.shape[1], 0)
        stay = self.slots.shape[1] - self.empty + left
        slots = jnp.concatenate([prompts, self.slots[:, :stay]], axis=1)
        if positions is None and self.prompt_pos is None:
            return self.replace(slots=slots, empty=left)
        new, old = (
            jnp.zeros_like(tokens) if position is None else position
            for tokens, position in ((prompts, positions), (self.slots, self.prompt_pos))
        )
        at = jnp.concatenate([new, old[:, :stay]], axis=1)
        return self.replace(slots=slots, prompt_pos=at, empty=left)

    def with_room(self, multiple: int) -> 'Tokens':
        """With an empty slot at least: where there is none, as many as make all a multiple."""
        if self.empty:
            return self
        prompts = self.slots.shape[1]
        more = multiple - prompts % multiple

        def widen(array: Array | None) -> Array | None:
            return None if array is None else jnp.pad(array, ((0, 0), (0, more), (0, 0)))

        return self.replace(slots=widen(self.slots), prompt_pos=widen(self.prompt_pos), empty=more)

    def mean(self, x: Array) -> Array:
        """The mean [B, 1, D] of `x` [B, S + P + G, D] over all tokens; empty slots do not count."""
        if not self.empty:
            return x.mean(axis=1, keepdims=True)
        # A product with constants, for a mask and a divisor of each block's own would be compiled
        # into its kernels; as exact as the sum that it stands for.
        real = self._real()
        weights = jnp.asarray(real / real.sum(), jnp.promote_types(x.dtype, jnp.float32))
        mean = jnp.einsum('n,bnd->bd', weights, x, precision=jax.lax.Precision.HIGHEST)
        return mean.astype(x.dtype)[:, None]

    def attention_mask(self) -> Array | None:
        """Which tokens a token sees, or None where everything sees everything.

        [B, 1, N, N] bool over the whole sequence, or [1, 1, 1, N] where all see the same.
        """
        real = jnp.asarray(self._real())[None, None, None] if self.empty else None
        if self.causal:
            size = self._real().size
            before = jnp.asarray(np.tri(size, dtype=bool))[None, None]
            real = before if real is None else before & real
        if self.mask is None:
            return real
        others = self.cls.shape[1] + self.slots.shape[1]
        padding = ((0, 0), (others, 0), (others, 0))
        mask = jnp.pad(self.mask, padding, constant_values=True)[:, None]
        return mask if real is None else mask & real

    def _real(self) -> np.ndarray:
        """[N] bool, which places of the sequence are not empty slots."""
        end = self.cls.shape[1] + self.slots.shape[1]
        places = np.arange(end + self.patches.shape[1])
        return (places < end - self.empty) | (places >= end)


def no_prompts(patches: Array) -> Array:
    """[B, 0, D]: no prompts; no gradient, not even of zeros."""
    return jax.lax.stop_gradient(patches[:, :0])
