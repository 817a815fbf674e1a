"""How a fit resumes: its last state and its members' best epochs, on disk or in memory."""

import pathlib
from collections.abc import Sequence
from typing import Any

from point_ft_jax.checkpoints.store import CheckpointStore, InMemoryStore
from point_ft_jax.core import trees
from point_ft_jax.core.devices import say
from point_ft_jax.core.errors import UserError
from point_ft_jax.training.divergence import check_state
from point_ft_jax.training.population import Training

KEPT = 2  # of the newest: what was saved last may turn out to be damaged


class Checkpoints:
    """The checkpoints of a fit in its folder; without a folder they last as long as the process.

    last/ holds the state and the logs, from which training resumes to the same bits: the newest
    two, and that of the best epoch. best/ holds each member's trainable half and statistics of its
    best epoch: the newest two. The records, which say what the best epochs are, are the metadata of
    last/. Of what is damaged, last/ gives way to the one before, and best/ is made again from
    last/, so that the numbers of a fit stay what they would have been.

    Attributes:
        records: of each member, {'chosen', 'best_test', 'last': a record}; see
            `plan.keep_records`.
        seconds: of training so far, without compilation and evaluation.
    """

    def __init__(self, folder: pathlib.Path | None, members: int, steps: int = 1) -> None:
        """Opens them; `steps` are those of an epoch."""
        self.records: list[dict[str, dict[str, Any]]] = [{} for _ in range(members)]
        self.seconds = 0.0
        self._steps = steps
        self._resumed: int | None = None
        self._last, self._best = (
            CheckpointStore(folder / name, KEPT) if folder else InMemoryStore()
            for name in ('last', 'best')
        )

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_: object) -> None:
        self._last.__exit__()
        self._best.__exit__()

    def step(self) -> int | None:
        """The step that `resume` went back to; None for the beginning."""
        return self._resumed

    def resume(self, training: Training) -> Training:
        """`training` as it was saved last, or as it is if nothing was saved.

        Raises:
            UserError: the checkpoint is of another model or method, or all of them are damaged.
        """
        saved = self._last.steps()
        self._resumed = self._last.sound_step(say)
        if self._resumed is None:
            if saved:
                raise UserError(
                    f'no state in {self._last.folder} is whole: remove {self._last.folder.parent} '
                    'to train from the beginning, or bring it back from a copy'
                )
            return training
        if self._resumed != saved[-1]:
            say(f'going on from the state before: step {self._resumed} of {self._last.folder}')
        return self._read(training, self._resumed)

    def _read(self, training: Training, step: int) -> Training:
        carry, metadata = self._last.restore((training.state, training.logs), step)
        self.records, self.seconds = metadata['records'], metadata['seconds']
        return training.replace(*carry)

    def save(self, training: Training) -> None:
        """Replaces the last state; UserError for one that is not finite."""
        check_state(training)
        metadata = {'records': self.records, 'seconds': self.seconds}
        also = {newest * self._steps} if (newest := self._newest_best()) else ()
        self._last.save(training.steps_done, (training.state, training.logs), metadata, also)

    def save_best(self, training: Training, improved: Sequence[bool], epoch: int) -> None:
        """Replaces the best trees of the members that improved; the others' stay."""
        tree = (training.state.weights, training.state.batch_stats)
        if not all(improved):
            before = max(step for step in self._best.steps() if step < epoch)
            old, _ = self._best.restore(tree, before)
            shared = ((), training.population.shared)
            tree = tuple(
                trees.select_members(improved, *pair)
                for pair in zip(tree, old, shared, strict=True)
            )
        self._best.save(epoch, tree, {'epoch': epoch})

    def repair_best(self, training: Training) -> None:
        """Saves the best trees of the newest best epoch, where a kill or a damage left none.

        The state of that epoch is saved before its best trees are, and is kept.

        Raises:
            UserError: the state of that epoch is damaged too.
        """
        newest = self._newest_best()
        if not newest or self._best.is_sound(newest):
            return
        damaged = newest in self._best.steps()
        if training.steps_done != (step := newest * self._steps):
            if not self._last.is_sound(step):
                raise UserError(
                    f'{self._best.folder / str(newest)}, the best epoch, is damaged, and so is the '
                    f'state in {self._last.folder} that it could be made from: remove '
                    f'{self._last.folder.parent} to train from the beginning'
                )
            carry, _ = self._last.restore((training.state, training.logs), step)
            training = training.replace(*carry)
        improved = [records['chosen']['epoch'] == newest for records in self.records if records]
        self.save_best(training, improved, newest)
        if damaged:
            say(f'{self._best.folder / str(newest)} was damaged, and is made again from last/')

    def kept(self) -> str:
        """A sentence that says what is saved."""
        states = self._last.steps()
        if not states or isinstance(self._last, InMemoryStore):
            return 'Nothing is saved'
        epoch = self._newest_best()
        best = f', and the best epoch so far, {epoch}, in best/' if epoch else ''
        return f'What was saved before is whole: the state of step {states[-1]} in last/{best}'

    def _newest_best(self) -> int:
        """The newest best epoch of a member; 0 for none."""
        return max((records['chosen']['epoch'] for records in self.records if records), default=0)

    def best(self, training: Training) -> tuple[trees.Tree, trees.Tree]:
        """The trainable halves and the statistics of the members' best epochs."""
        like = (training.state.weights, training.state.batch_stats)
        return self._best.restore(like, self._newest_best() or None)[0]
