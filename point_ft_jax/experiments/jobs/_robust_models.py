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

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core.trees import Variables
from point_ft_jax.experiments import build
from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.weight_space import merges, wise
from point_ft_jax.weight_space.wise import Ends

FULL, PROBE = 'full', 'lp'  # the two runs that every experiment has
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


class Zoo:
    """All models of one setting and seed, each made when it is asked for.

    Args:
        config: of the experiment, its data being the setting's.
        folder: of the setting.
        seed: of the runs.
        reestimate: stacked variables to their batch statistics on training clouds.
        score: variables to their accuracy on held-out clouds.
    """

    def __init__(
        self,
        config: ConfigDict,
        folder: pathlib.Path,
        seed: int,
        reestimate: Reestimate,
        score: Callable[[Variables], float],
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
        return wise.ends(self.full.model, self.start, self.full.variables)

    def names(self) -> list[str]:
        """Every model but those along the path: the trained ones first."""
        others = [name for name in self._config.robust.runs if name not in (FULL, PROBE)]
        return [*others, *(name for name in self._config.robust.merges)]

    def along(self, alpha: float) -> Compared:
        """WiSE-FT's model at an alpha; 0 is pre-trained, 1 fine-tuned."""
        statistics = self._config.wise.statistics[0]
        models = wise.models_along(self.ends, [alpha], statistics, self._reestimate)
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

    def _members(self) -> list[TunedModel]:
        return [
            self.full if name == FULL else trained(self._folder, name, self._seed)
            for name in self._config.robust.soup
        ]

    def _merged(self, name: str) -> Compared:
        """Merged backbones under merged heads, with batch statistics of their own.

        A head has no pre-trained weights: those of several models are averaged, as in their soup.
        """
        options = self._config.robust.merges[name].to_dict()
        method = options.pop('method')
        several = method in ('soup', 'greedy_soup', 'model_stock')
        members = self._members() if several else [self.full]
        params = [member.variables['params'] for member in members]
        if method == 'greedy_soup':
            return self._compared(merges.merge(params, method, score=self._score_params))
        base = self.start['params']['backbone']
        backbones = [one['backbone'] for one in params]
        head = merges.merge([one['head'] for one in params], 'soup')
        backbone = merges.merge(backbones, method, base=base, **options)
        return self._compared({'backbone': backbone, 'head': head})

    def _score_params(self, params: Mapping) -> float:
        return self._score(self._compared(params).variables)

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
