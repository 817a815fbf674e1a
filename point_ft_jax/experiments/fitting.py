"""Fits members of a config: initial weights, recipe, fit, and what is saved beside a model.

Fine-tuning, pre-training and the folds of few-shot tuning are all fitted here.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.checkpoints import delta
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import agreement, devices, processes, trees
from point_ft_jax.core.devices import main_process, make_mesh
from point_ft_jax.core.errors import raise_all
from point_ft_jax.core.json_files import read_json
from point_ft_jax.data.fingerprint import are_rounded, changes, fingerprints
from point_ft_jax.data.split import Split
from point_ft_jax.experiments import build
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.model import Model
from point_ft_jax.reports.progress import progress
from point_ft_jax.training.fit import fit_population
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.population import Member
from point_ft_jax.training.step import Recipe
from point_ft_jax.training.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Fitting:
    """What all fits of a config share.

    Attributes:
        config: of the job.
        model: what trains.
        splits: 'train', and any of 'validation' and 'test'.
        task: what it is trained for.
        plan: how long; the seeds are the members'.
        metadata: what is saved beside every model and its spec, with its seed. None saves nothing
            beside the checkpoints and shows no progress.
    """

    config: ConfigDict
    model: Model | Autoencoder
    splits: Mapping[str, Split]
    task: Task
    plan: TrainingPlan
    metadata: Mapping[str, Any] | None = None

    @functools.cached_property
    def trainable(self) -> trees.Tree:
        """A tree of bools: which parameters train."""
        return trees.select(self.model.shapes()['params'], self.model.trainable)

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The training step."""
        steps = max(len(self.splits['train']) // self.plan.batch_size, 1)
        return build.make_recipe(self.config, self.model, steps, make_mesh(), self.task)

    def metadata_of(self, seed: int) -> dict[str, Any]:
        """What is saved beside the model of a seed."""
        return {**self.metadata, 'seed': seed}

    def fit_seed(self, seed: int, folder: pathlib.Path) -> Fitted:
        """Fits one member; everything that is saved is in its folder."""
        return self._fit([Member(seed)], folder, folder, [folder])[0]

    def fit_members(
        self,
        members: Sequence[Member],
        folder: pathlib.Path,
        folders: Sequence[pathlib.Path],
        own_clouds: bool = True,
    ) -> list[Fitted]:
        """Fits several members in one program.

        The frozen half and the checkpoints, in population/, are in the `folder` of them all, the
        metrics and the metadata of each in one of `folders`. Members of one seed share their
        clouds.
        """
        several = len({member.seed for member in members}) > 1
        return self._fit(members, folder, folder / 'population', folders, own_clouds and several)

    def _fit(
        self,
        members: Sequence[Member],
        folder: pathlib.Path,
        checkpoints: pathlib.Path,
        folders: Sequence[pathlib.Path],
        own_clouds: bool = True,
    ) -> list[Fitted]:
        recipe = self.recipe  # names what is wrong with the config before anything is saved
        if self.metadata is not None:
            self._check_data(folders)
        starts = self._starts(members)
        self._check_processes(starts[0])
        if self.metadata is not None:
            saved.save_frozen(folder, trees.partition(starts[0]['params'], self.trainable)[1])
            for member, place in zip(members, folders, strict=True):
                saved.save_metadata(place, self.model.spec, self.metadata_of(member.seed))
        with self._progress(members) as show:
            return fit_population(
                recipe,
                starts,
                self.trainable,
                self.splits,
                self.plan,
                members,
                checkpoints,
                folders,
                own_clouds,
                show,
            )

    def _check_processes(self, start: dict[str, trees.Tree]) -> None:
        """Raises UserError where processes have other data, or start from other weights."""
        if processes.several():
            agreement.check(
                {
                    'data': fingerprints(self.splits),
                    'weights that training starts from': delta.fingerprint(start),
                }
            )

    def _check_data(self, folders: Sequence[pathlib.Path]) -> None:
        """Raises UserError for folders of runs that began with other data."""
        now = self.metadata.get('data', {})
        for folder in folders:
            facts = read_json(folder / saved.FACTS) if (folder / saved.FACTS).exists() else {}
            before = facts.get('data', {}) if isinstance(facts, dict) else {}
            raise_all(
                changes(before, now),
                f'{folder} began with other data; give another --config.folder, or bring back the '
                'data as they were:',
            )
            if are_rounded(before, now):
                devices.say(f'note: coordinates differ by rounding from those of {folder}')

    def _starts(self, members: Sequence[Member]) -> list[dict[str, trees.Tree]]:
        """The initial variables of each member; members of one seed have the same."""
        starts = {}
        for seed in dict.fromkeys(member.seed for member in members):
            starts[seed], origin = build.load_start(
                self.config, self.model, seed, self.splits['train'].classes
            )
            if len(starts) == 1 and self.metadata is not None:
                several = f', for all {len(members)} members' if len(members) > 1 else ''
                devices.say(origin + several)
        return [starts[member.seed] for member in members]

    @contextlib.contextmanager
    def _progress(self, members: Sequence[Member]) -> Iterator[Callable[..., None]]:
        """What `fit` shows its progress by."""
        if self.metadata is None:
            yield lambda *_, **__: None
            return
        label = f'{len(members)} members' if len(members) > 1 else f'seed {members[0].seed}'
        with progress(self.plan.epochs, label=label, quiet=not main_process()) as show:
            yield show
