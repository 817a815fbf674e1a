"""What a fit gives."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from point_ft_jax.core import trees


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    Attributes:
        variables: 'params' and 'batch_stats' of the best epoch, as numpy arrays.
        records: the evaluation of the test split, see `Task.evaluation`, after the 'chosen' (best),
            the 'best_test' and the 'last' epoch; empty without a test split.
        score: what selected the best epoch: the first number that the task ranks by (of
            classification the accuracy, a fraction) on the split that `TrainingPlan.select` names;
            for 'last_epoch' the number of the epoch.
        cost: the fields of `reports.costs.Cost`, of all members together.
        history: the scalars of each epoch that this call trained, with its 'epoch'.
    """

    variables: dict[str, trees.Tree]
    records: dict[str, Any]
    score: float
    cost: dict[str, float]
    history: Sequence[dict[str, float]] = ()
