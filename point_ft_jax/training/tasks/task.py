"""What a model is trained for: its loss, its answers, its metrics and its voting."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Array, Targets, Variables
from point_ft_jax.data.augment import Augmentation
from point_ft_jax.data.split import Split

# (variables, split, num_points, key) to the answers to a split, as of `Task.answer`.
Voter = Callable[[Variables, Split, int, jax.Array], Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything that depends on what a model is trained for.

    Attributes:
        name: of the file in reports/ that has its section of a report.
        loss: (module, variables, points [B, N, 3], targets [B, ...], key) to the loss [], the
            scalars named in `scalars`, and the statistics after the pass. `key` is for dropout and
            for every other random number of the pass.
        scalars: what a step logs besides 'train_loss' and 'gradient_norm'.
        targets: the arrays [S, ...] of a split that the loss needs: one, or a tree of them.
        sample: (key, points [B, N, 3], targets, number) to the points that a step uses, before they
            are augmented, and their targets.
        prepare: (split, number) to the points that evaluation uses, and their targets.
        answer: (module, variables, points, targets) to what evaluation keeps of a batch's outputs.
        measure: (answers, targets) of a split, on the host, to scalars.
        rank: a split's scalars to what votes are compared by, and epochs by the first entry alone;
            see `plan.keep_records`.
        record: (answers, targets) of the test split to what the report needs, in JSON's types.
        evaluation: (epoch, record) to the evaluation that the report is made of.
        voter: (module, mesh, batch_size, augment, votes) to a function that answers by the mean
            over `votes` augmented passes; None for a task that does not vote.
        sampling: how points are sampled, in words for the report; '' where that is as usual.
    """

    name: str
    loss: Callable[..., tuple[Array, tuple[dict[str, Array], trees.Tree]]]
    scalars: tuple[str, ...]
    targets: Callable[[Split], Targets]
    sample: Callable[[jax.Array, Array, Targets, int], tuple[Array, Targets]]
    prepare: Callable[[Split, int], tuple[np.ndarray, Targets]]
    answer: Callable[[nn.Module, Variables, Array, Targets], Any]
    measure: Callable[[Any, Targets], dict[str, float]]
    rank: Callable[[dict[str, float]], list[float]]
    record: Callable[[Any, Targets], Any]
    evaluation: Callable[[int, Any], Any]
    voter: Callable[[nn.Module, Mesh, int, Augmentation, int], Voter] | None = None
    sampling: str = ''
