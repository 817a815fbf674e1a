"""How a fit resumes: its last state and its members' best epochs, on disk or in memory."""

import pathlib
from collections.abc import Sequence
from typing import Any

from point_ft_jax.checkpoints.store import CheckpointStore, InMemoryStore
from point_ft_jax.core import trees
from point_ft_jax.training.population import Training


class Checkpoints:
    """The checkpoints of a fit in its folder; without a folder they last as long as the process.

    last/ holds the state and the logs, from which training resumes to the same bits; best/ holds
    each member's trainable half and statistics of its best epoch. The records, which say what the
    best epochs are, are the metadata of last/.

    Attributes:
        records: of each member, {'chosen', 'best_test', 'last': a record}; see
            `plan.keep_records`.
        seconds: of training so far, without compilation and evaluation.
    """

    def __init__(self, folder: pathlib.Path | None, members: int) -> None:
        self.records: list[dict[str, dict[str, Any]]] = [{} for _ in range(members)]
        self.seconds = 0.0
        self._last, self._best = (
            CheckpointStore(folder / name) if folder else InMemoryStore()
            for name in ('last', 'best')
        )

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_: object) -> None:
        self._last.__exit__()
        self._best.__exit__()

    def step(self) -> int | None:
        """The step that was saved last; None if none was."""
        return self._last.step()

    def resume(self, training: Training) -> Training:
        """`training` as it was saved last, or as it is if nothing was saved.

        Raises:
            UserError: the checkpoint is of another model or method.
        """
        if self.step() is None:
            return training
        carry, metadata = self._last.restore((training.state, training.logs))
        self.records, self.seconds = metadata['records'], metadata['seconds']
        return training.replace(*carry)

    def save(self, training: Training) -> None:
        """Replaces the last state."""
        metadata = {'records': self.records, 'seconds': self.seconds}
        self._last.save(training.steps_done, (training.state, training.logs), metadata)

    def save_best(self, training: Training, improved: Sequence[bool], epoch: int) -> None:
        """Replaces the best trees of the members that improved; the others' stay."""
        tree = (training.state.weights, training.state.batch_stats)
        if not all(improved):
            old, _ = self._best.restore(tree)
            shared = ((), training.population.shared)
            tree = tuple(
                trees.select_members(improved, *pair)
                for pair in zip(tree, old, shared, strict=True)
            )
        self._best.save(epoch, tree, {'epoch': epoch})

    def repair_best(self, training: Training, steps: int) -> None:
        """Saves the best trees of the newest best epoch, if a kill came before they were saved.

        The last state is saved first, so that it is still the one of that epoch. `steps` are those
        of an epoch.
        """
        epochs = [records['chosen']['epoch'] for records in self.records if records]
        newest = max(epochs, default=0)
        if newest and self._best.step() != newest and training.steps_done == newest * steps:
            self.save_best(training, [epoch == newest for epoch in epochs], newest)

    def best(self, training: Training) -> tuple[trees.Tree, trees.Tree]:
        """The trainable halves and the statistics of the members' best epochs."""
        like = (training.state.weights, training.state.batch_stats)
        return self._best.restore(like)[0]
