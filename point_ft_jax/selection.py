"""Which epochs are kept: the chosen one, the best on the test split, the last."""

from collections.abc import Mapping
from typing import Any

# What `select` may be, and the split whose scores choose the epoch.
SELECTIONS = {'validation': 'validation', 'best_test_epoch': 'test', 'last_epoch': None}


def keep_records(
    select: str,
    records: dict[str, dict[str, Any]],
    measured: Mapping[str, Mapping[str, float]],
    confusion: list,
    epoch: int,
) -> set[str]:
    """Replaces those `records` that this epoch beats, and says which.

    Args:
        select: a key of SELECTIONS.
        records: 'chosen', 'best_test' and 'last', each with its 'epoch', its 'rank' and its
            'confusion'; empty before the first epoch.
        measured: the 'accuracy' and 'loss' of each split.
        confusion: of the test split.
        epoch: counted from 1.
    """

    def rank(split: str | None) -> list[float]:
        """Accuracy first, then loss; the later epoch where no split chooses."""
        if split not in measured:
            return [float(epoch), 0.0]
        return [measured[split]['accuracy'], -measured[split]['loss']]

    ranks = {
        'chosen': rank(SELECTIONS[select]),
        'best_test': rank('test'),
        'last': rank(None),
    }
    beaten = {kind for kind in ranks if kind not in records or ranks[kind] > records[kind]['rank']}
    for kind in beaten:
        records[kind] = {'epoch': epoch, 'rank': ranks[kind], 'confusion': confusion}
    return beaten
