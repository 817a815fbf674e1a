"""What a module is trained for: the loss of a step, and what evaluation measures."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Targets, Variables
from point_ft_jax.data.split import Split


@dataclasses.dataclass(frozen=True)
class Task:
    """What `train` and `fit` need to know of it.

    Attributes:
        loss: (module, variables, points [B, N, 3], targets [B, ...], key) to the loss [], the
            scalars named in `scalars`, and the statistics after the pass. The dropout of a step
            is drawn from `key`, and whatever else is random in it.
        scalars: what a step logs beside 'train_loss' and 'gradient_norm'.
        targets: the arrays [S, ...] of a split that the loss is told: one, or a tree of them.
        draw: (key, points [B, N, 3], targets, number) to the points that a step sees, before they
            are augmented, and their targets.
        prepare: (split, number) to the points that evaluation sees, and their targets.
        answer: (module, variables, points, targets) to what evaluation keeps of a batch's outputs.
        measure: (answers, targets) of a split, on the host, to scalars.
        rank: a split's scalars to what epochs are compared by; the first entry counts most.
        record: (answers, targets) of the test split to what the report needs, as JSON has it.
        evaluation: (epoch, record) to what the report takes.
    """

    loss: Callable[..., tuple[Array, tuple[dict[str, Array], trees.Tree]]]
    scalars: tuple[str, ...]
    targets: Callable[[Split], Targets]
    draw: Callable[[jax.Array, Array, Targets, int], tuple[Array, Targets]]
    prepare: Callable[[Split, int], tuple[np.ndarray, Targets]]
    answer: Callable[[nn.Module, Variables, Array, Targets], Any]
    measure: Callable[[Any, Targets], dict[str, float]]
    rank: Callable[[dict[str, float]], list[float]]
    record: Callable[[Any, Targets], Any]
    evaluation: Callable[[int, Any], Any]
