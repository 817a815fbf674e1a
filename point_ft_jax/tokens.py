"""The tokens of a cloud on their way through a transformer, kept apart by kind."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct

from kernels import gather_points

Array = jax.Array


@struct.dataclass
class Tokens:
    """Tokens by kind, with the positions that a block adds to them.

    The order in a sequence is cls, prompts, patches. A position of None counts as zero.

    Attributes:
        cls: [B, S, D], the learned global tokens (S may be 0; ReCon has three).
        patches: [B, G, D].
        centers: [B, G, 3], where the patches are.
        prompts: [B, P, D], what a tuning method has put in (P may be 0), the newest first.
        cls_pos, prompt_pos, patch_pos: positions, of the shape of their tokens, or None.
        mask: [B, G, G] bool or None; which patches a patch attends to. Others see everything.
        memo: what tuners have computed from the centres, by name, for later blocks to use again.
    """

    cls: Array
    patches: Array
    centers: Array
    prompts: Array
    cls_pos: Array | None = None
    prompt_pos: Array | None = None
    patch_pos: Array | None = None
    mask: Array | None = None
    memo: Mapping[str, object] = struct.field(default_factory=dict)

    def sequence(self) -> Array:
        """All tokens, [B, S + P + G, D], without positions."""
        return jnp.concatenate([self.cls, self.prompts, self.patches], axis=1)

    def with_sequence(self, x: Array) -> 'Tokens':
        """These tokens with the values of `x` [B, S + P + G, D]."""
        first = self.cls.shape[1]
        second = first + self.prompts.shape[1]
        return self.replace(cls=x[:, :first], prompts=x[:, first:second], patches=x[:, second:])

    def positioned(self) -> Array:
        """All tokens with their positions added, [B, S + P + G, D]: what a block starts from."""
        return self.settle().sequence()

    def settle(self) -> 'Tokens':
        """Tokens with their positions added for good: no later block adds them again."""

        def add(tokens: Array, position: Array | None) -> Array:
            return tokens if position is None else tokens + position.astype(tokens.dtype)

        return self.replace(
            cls=add(self.cls, self.cls_pos),
            prompts=add(self.prompts, self.prompt_pos),
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

    def prepend(self, prompts: Array, positions: Array | None = None) -> 'Tokens':
        """With `prompts` [B, p, D] put in front of those there are, at `positions` or at zero."""
        both = jnp.concatenate([prompts, self.prompts], axis=1)
        if positions is None and self.prompt_pos is None:
            return self.replace(prompts=both)
        new, old = (
            jnp.zeros_like(tokens) if position is None else position
            for tokens, position in ((prompts, positions), (self.prompts, self.prompt_pos))
        )
        return self.replace(prompts=both, prompt_pos=jnp.concatenate([new, old], axis=1))

    def attention_mask(self) -> Array | None:
        """[B, 1, N, N] bool over the whole sequence, or None where everything sees everything."""
        if self.mask is None:
            return None
        others = self.cls.shape[1] + self.prompts.shape[1]
        padding = ((0, 0), (others, 0), (others, 0))
        return jnp.pad(self.mask, padding, constant_values=True)[:, None]


def no_prompts(patches: Array) -> Array:
    """[B, 0, D]: the prompts of a backbone that nobody prompts."""
    return patches[:, :0]
