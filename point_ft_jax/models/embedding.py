"""The way from clouds to the tokens of the first block, as a tuning method sees it."""

import dataclasses
from collections.abc import Callable

from kernels import Groups
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.tokens import Tokens


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What a backbone makes its tokens with; each part may be called more than once.

    Attributes:
        group: clouds [B, N, 3] to neighbourhoods; with (num_groups, group_size) others than the
            backbone's.
        tokens: neighbourhoods to the tokens of the first block.
        positions: centres [B, G, 3] to positions [B, G, D].
        depth: how many blocks follow.
        train: whether dropout is on and batch statistics are used.
        dtype: what to compute in; None for the type of the parameters.
    """

    group: Callable[..., Groups]
    tokens: Callable[[Groups], Tokens]
    positions: Callable[[Array], Array]
    depth: int
    train: bool
    dtype: Dtype | None
