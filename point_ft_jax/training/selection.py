"""Which epochs are kept: the chosen one, the best on the test split, the last."""

from collections.abc import Mapping
from typing import Any

# What `select` may be, and the split whose scores choose the epoch.
SELECTIONS = {'validation': 'validation', 'best_test_epoch': 'test', 'last_epoch': None}


def keep_records(
    select: str,
    records: dict[str, dict[str, Any]],
    ranks: Mapping[str, list[float]],
    found: Any,
    epoch: int,
) -> set[str]:
    """Replaces those `records` that this epoch beats, and says which.

    Args:
        select: a key of SELECTIONS.
        records: 'chosen', 'best_test' and 'last', each with its 'epoch', its 'rank' and what was
            'found' then; empty before the first epoch.
        ranks: what epochs are compared by, of each split; the later epoch where no split chooses.
        found: what is kept of the test split.
        epoch: counted from 1.
    """
    splits = {'chosen': SELECTIONS[select], 'best_test': 'test', 'last': None}
    new = {kind: ranks.get(split, [float(epoch)]) for kind, split in splits.items()}
    beaten = {kind for kind in new if kind not in records or new[kind] > records[kind]['rank']}
    for kind in beaten:
        records[kind] = {'epoch': epoch, 'rank': new[kind], 'found': found}
    return beaten
