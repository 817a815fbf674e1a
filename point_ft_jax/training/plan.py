"""How long a model trains, whether that is possible, and which epochs are kept."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from point_ft_jax.core.errors import raise_all
from point_ft_jax.data.split import Split


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How long to train and what to keep.

    Attributes:
        epochs: passes over the training split.
        batch_size: clouds a step.
        seed: of the order of the clouds and of every random number in a step, where one member
            trains; see `population.Member`.
        select: how the best epoch is selected: by the 'validation' split, by the test split
            ('best_test_epoch', the papers' protocol, which is optimistic), or 'last_epoch'.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        save_every_seconds: between checkpoints; the last epoch is always saved.
        device_bytes: the largest training split that is stored on the device; the batches of a
            larger one are sent to it one by one.
        patience: epochs without a new best one after which training ends; 0 for never.
        return_when_stopped: whether Ctrl-C ends training with the best epoch so far, if there is
            one, in place of raising `Stopped`.
        log: where to the metrics are mirrored; see `trackers`.
    """

    epochs: int
    batch_size: int
    seed: int = 0
    select: str = 'validation'
    evaluate_every: int = 1
    save_every_seconds: float = 30.0
    device_bytes: int = 4 * 2**30
    patience: int = 0
    return_when_stopped: bool = False
    log: tuple[str, ...] = ('tensorboard',)


def check(
    plan: TrainingPlan, splits: Mapping[str, Split], num_points: int, num_devices: int
) -> None:
    """Raises UserError for a plan that the splits, the model's points or the devices do not fit."""
    problems = []
    if plan.select not in SELECTIONS:
        problems.append(f'select is {plan.select!r}; expected one of {", ".join(SELECTIONS)}')
    elif SELECTIONS[plan.select] not in (None, *splits):
        problems.append(
            f'select is {plan.select!r}, and there is no {SELECTIONS[plan.select]} split: hold '
            "training clouds out (config.validation.fraction), or select 'last_epoch'"
        )
    if len(splits['train']) < plan.batch_size:
        problems.append(
            f'{len(splits["train"])} training clouds do not fill one batch of {plan.batch_size}: '
            'set config.train.batch_size to less'
        )
    if plan.batch_size % num_devices:
        problems.append(
            f'a batch of {plan.batch_size} does not divide among {num_devices} devices: '
            f'set config.train.batch_size to a multiple'
        )
    for name, split in splits.items():
        if not len(split):
            problems.append(
                f'the {name} split has no clouds; a class gives one to validation if it has two: '
                "give more, or set config.validation.fraction=0 and select 'last_epoch'"
            )
    fewer = {n: s.points.shape[1] for n, s in splits.items() if s.points.shape[1] < num_points}
    if fewer:
        least = min(fewer.values())
        problems.append(
            f'the model takes {num_points} points and the clouds of {", ".join(fewer)} have '
            f'{least}: set config.points to {least} or less, or of clouds of your own '
            f'config.data.num_points to {num_points}: then the points of smaller clouds are '
            'repeated'
        )
    raise_all(problems, 'this cannot be trained:')


FEWEST_STEPS, SMALLEST_BATCH = 8, 8


def batch_for(clouds: int, most: int, steps: int = FEWEST_STEPS) -> int:
    """How many clouds a batch has where an epoch is to have `steps` steps or more.

    `most`, or the largest power of two that leaves so many steps, but 8 at least: the statistics of
    a smaller batch say little.

    Examples:
        >>> batch_for(1000, 32), batch_for(150, 32), batch_for(20, 32)
        (32, 16, 8)
    """
    if steps < 1 or clouds >= most * steps:
        return most
    return min(max(2 ** max((clouds // steps).bit_length() - 1, 0), SMALLEST_BATCH), most)


# The values of `select`, and the split whose scores select the best epoch.
SELECTIONS = {'validation': 'validation', 'best_test_epoch': 'test', 'last_epoch': None}


def keep_records(
    select: str,
    records: dict[str, dict[str, Any]],
    ranks: Mapping[str, list[float]],
    record: Any,
    epoch: int,
) -> set[str]:
    """The kinds of `records` that this epoch beats; their records are replaced.

    Args:
        select: a key of SELECTIONS.
        records: by kind, 'chosen' (the best epoch by `select`), 'best_test' and 'last', each with
            its 'epoch', its 'rank' and, as 'found', the test split's record; empty before the first
            epoch.
        ranks: of each split, what epochs are compared by; see `Task.rank`. Where no split selects,
            the later epoch is better.
        record: of the test split; see `Task.record`.
        epoch: counted from 1.

    Of epochs with equal validation scores the later one is 'chosen': few held-out clouds give many
    equal scores, and training goes on to improve what they can't tell. By the papers' protocol it
    is the first, as 'best_test' is.
    """
    splits = {'chosen': SELECTIONS[select], 'best_test': 'test', 'last': None}
    new = {kind: ranks.get(split, [float(epoch)]) for kind, split in splits.items()}
    later = {'chosen'} if select == 'validation' else set()  # of equal ones
    beaten = {
        kind for kind in new if kind not in records or _beats(kind, new, records, kind in later)
    }
    for kind in beaten:
        records[kind] = {'epoch': epoch, 'rank': new[kind], 'found': record}
    return beaten


def _beats(
    kind: str,
    new: Mapping[str, list[float]],
    records: Mapping[str, Mapping[str, Any]],
    if_equal: bool,
) -> bool:
    score, best = new[kind][0], records[kind]['rank'][0]
    return score > best or (if_equal and score == best)
