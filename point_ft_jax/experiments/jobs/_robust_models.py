"""The models that the robust experiment compares, of one setting and one seed.

Some are trained, each a fine-tuning run of its own; the others are made of the trained ones by
arithmetic, as `weight_space` has it.
"""

import copy
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import pretrained
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core import trees
from point_ft_jax.core.trees import Variables
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.models import torch_names
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.weight_space import choose_alphas, merges, wise
from point_ft_jax.weight_space.wise import Ends

FULL, PROBE = 'full', 'lp'  # the run that every experiment has, and that others may start from
LAYERWISE = 'layerwise'  # a merge beside those of `weight_space.merge`
SUMMED = ('task_arithmetic', 'magnitude_prune', 'dare')  # which add changes up, unless weighted
DRAWN = ('dare', 'dare_ties')  # which have a seed
# What the table calls models along the path: the alpha, None for the chosen one, and the head.
ALONG = {
    'lp': (0.0, 'probed'),
    'full': (1.0, 'own'),
    'wise': (None, 'own'),
    'wise_lp': (None, 'probed'),
}
Reestimate = Callable[[Variables], Variables]


@dataclasses.dataclass(frozen=True)
class Compared:
    """A model to be measured.

    Attributes:
        model: what it is.
        variables: its weights and statistics, head included.
        probed: whether a second head is trained on its frozen backbone and measured too.
    """

    model: Model
    variables: Variables
    probed: bool = False


def run_config(config: ConfigDict, name: str, folder: pathlib.Path, seed: int) -> ConfigDict:
    """The config of one fine-tuning run: the experiment's own, with what is another for `name`."""
    plain = json.loads(config.to_json_best_effort())
    own = ConfigDict({**{field: plain[field] for field in default()}, 'job': 'finetune'})
    own.name = f'{config.name}_{config.data.variant}_{name}_{seed}'
    own.folder = str(folder / f'{name}_{seed}')
    own.seeds = (seed,)
    changes = copy.deepcopy(plain['robust']['runs'][name])
    if changes.pop('from_probe', False):  # LP-FT: the head, and with it the backbone, of the probe
        own.init.checkpoint = str(folder / f'{PROBE}_{seed}' / f'seed_{seed}')
        own.init.head = True
    own.update(changes)
    return own


def train(config: ConfigDict, folder: pathlib.Path, seed: int, command: str) -> None:
    """Fine-tunes every run of the config; what is done is read back."""
    names = list(config.robust.runs)
    for name in sorted(names, key=lambda n: n != PROBE):  # which another may start from
        finetune.run(run_config(config, name, folder, seed), f'{command} ({name})')


def trained(folder: pathlib.Path, name: str, seed: int) -> TunedModel:
    """A run of `train`, at its chosen epoch."""
    return saved.load_run(folder / f'{name}_{seed}' / f'seed_{seed}')


def member_folders(
    config: ConfigDict, name: str, folder: pathlib.Path, seed: int
) -> list[pathlib.Path]:
    """Where a run's models are: one, or those of its population."""
    own = run_config(config, name, folder, seed)
    place = pathlib.Path(own.folder)
    if own.population == 1:
        return [place / f'seed_{seed}']
    return [place / run_folder.member_name(own, member) for member in run_folder.members(own)]


class Zoo:
    """All models of one setting and seed, each made when it is asked for.

    Args:
        config: of the experiment, its data being the setting's.
        folder: of the setting.
        seed: of the runs.
        reestimate: stacked variables to their batch statistics on training clouds.
        score: a model to its accuracy on held-out clouds.
    """

    def __init__(
        self,
        config: ConfigDict,
        folder: pathlib.Path,
        seed: int,
        reestimate: Reestimate,
        score: Callable[[Compared], float],
    ) -> None:
        self._config, self._folder, self._seed = config, folder, seed
        self._reestimate, self._score = reestimate, score

    @functools.cached_property
    def full(self) -> TunedModel:
        """The fully fine-tuned model."""
        return trained(self._folder, FULL, self._seed)

    @functools.cached_property
    def start(self) -> Variables:
        """What it started from."""
        return build.load_start(self._config, self.full.model, self._seed)[0]

    @functools.cached_property
    def ends(self) -> Ends:
        """The path between the two."""
        lacking = _lacking(self._config, self.full.model, self.start)
        return wise.ends(self.full.model, self.start, self.full.variables, lacking)

    def along(self, alpha: float, statistics: str = '') -> Compared:
        """WiSE-FT's model at an alpha; 0 is pre-trained, 1 fine-tuned."""
        choice = statistics or self._config.wise.statistics[0]
        models = wise.models_along(self.ends, [alpha], choice, self._reestimate)
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], models)
        return Compared(self.full.model, one, probed=True)

    def random(self) -> Compared:
        """The same model with random weights: the floor of every score."""
        variables = self.full.model.init(jax.random.key(1000 + self._seed))
        return Compared(self.full.model, jax.tree.map(np.asarray, variables))

    def named(self, name: str) -> Compared:
        """A trained or a merged model."""
        if name in self._config.robust.runs:
            run = trained(self._folder, name, self._seed)
            return Compared(run.model, run.variables)
        return self._merged(name)

    @functools.cached_property
    def _members(self) -> list[TunedModel]:
        """The models that are merged: the soup's runs, of a population all members."""
        return [
            saved.load_run(path)
            for name in self._config.robust.soup
            for path in member_folders(self._config, name, self._folder, self._seed)
        ]

    def _merged(self, name: str) -> Compared:
        """Merged backbones under merged heads, with batch statistics of their own.

        A head has no pre-trained weights: those of several models are averaged, as in their soup.
        """
        options = self._config.robust.merges[name].to_dict()
        method = options.pop('method')
        base = self.ends.pretrained['params']['backbone']
        own = self.full.variables['params']
        if method == LAYERWISE:
            chosen = choose_alphas(
                base,
                own['backbone'],
                lambda t: self._score_params({**own, 'backbone': t}),
                **options,
            )
            return self._compared({**own, 'backbone': chosen.theta})
        members = [self.full] if method in merges.OF_ONE else self._members
        params = [member.variables['params'] for member in members]
        if method == 'greedy_soup':
            return self._compared(merges.merge(params, method, score=self._score_params))
        if method in SUMMED:
            options.setdefault('weights', [1 / len(params)] * len(params))
        if method in DRAWN:
            options.setdefault('seed', self._seed)
        head = merges.merge([one['head'] for one in params], 'soup')
        backbone = merges.merge([one['backbone'] for one in params], method, base=base, **options)
        return self._compared({'backbone': backbone, 'head': head})

    def _score_params(self, params: Mapping) -> float:
        return self._score(self._compared(params))

    def _compared(self, params: Mapping) -> Compared:
        """With the statistics that the merged weights see; a head keeps the fine-tuned one's."""
        statistics = self.full.variables['batch_stats']
        variables = {'params': params, 'batch_stats': statistics}
        if statistics.get('backbone'):
            stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], variables)
            found = jax.tree.map(lambda leaf: np.asarray(leaf)[0], self._reestimate(stacked))
            variables['batch_stats'] = {**statistics, 'backbone': found['backbone']}
        variables = jax.tree.map(np.asarray, variables)
        return Compared(self.full.model, variables)


def _lacking(config: ConfigDict, built: Model, variables: Variables) -> list[str]:
    """Paths below the backbone that the pre-training file does not have."""
    if not config.init.checkpoint:
        return []
    report = built.fit_backbone(variables, pretrained.state_dict(config.init.checkpoint)).report
    names = {path: f'backbone/{path}' for path in trees.flatten(variables['params']['backbone'])}
    return [
        path
        for path, full in names.items()
        if torch_names.torch_key(full, built.torch_names) in report.new
    ]
