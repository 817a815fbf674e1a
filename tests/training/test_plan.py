"""Which epochs are kept."""

import pytest

from point_ft_jax.training.plan import batch_for, keep_records


def kept(select: str, scores: list[float]) -> dict[str, int]:
    """Kind -> epoch that is kept, of accuracies by epoch; the loss grows all the while."""
    records: dict = {}
    for epoch, score in enumerate(scores, 1):
        rank = [score, -float(epoch)]
        keep_records(select, records, {'validation': rank, 'test': rank}, None, epoch)
    return {kind: record['epoch'] for kind, record in records.items()}


@pytest.mark.parametrize(
    ('scores', 'chosen'), [([0.5, 0.9, 0.9, 0.8], 3), ([0.9, 0.5], 1), ([0.5, 0.5, 0.5], 3)]
)
def test_of_equal_validation_scores_the_later_epoch_is_chosen(
    scores: list[float], chosen: int
) -> None:
    assert kept('validation', scores)['chosen'] == chosen


def test_the_best_test_epoch_is_the_first_of_the_best_and_the_last_is_the_last() -> None:
    found = kept('validation', [0.5, 0.9, 0.9, 0.8])
    assert (found['best_test'], found['last']) == (2, 4)


def test_without_a_selecting_split_the_last_epoch_is_chosen() -> None:
    assert kept('last_epoch', [0.9, 0.5])['chosen'] == 2


@pytest.mark.parametrize(
    ('clouds', 'most', 'steps', 'batch'),
    [(1000, 32, 8, 32), (256, 32, 8, 32), (255, 32, 8, 16), (20, 32, 8, 8), (20, 4, 8, 4)],
)
def test_batches_follow_the_number_of_clouds(
    clouds: int, most: int, steps: int, batch: int
) -> None:
    assert batch_for(clouds, most, steps) == batch
    assert batch_for(clouds, most, 0) == most
