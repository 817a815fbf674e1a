"""Robust fine-tuning: every method in one table, with intervals, and conditions checked before.

Stages: pre-train (unless a backbone is given), fine-tune every run of the config for every setting
and seed, measure the two ends, say whether the experiment can tell anything, measure the rest. Each
is kept in the run's folder: a run that was killed goes on with the stage, and within a training
with the step, where it was.
"""

import copy
import functools
import pathlib
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation.adaptation import check_adaptation
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs import _robust_models, _wise_measurements, pretrain
from point_ft_jax.experiments.jobs._robust_models import FULL, PROBE, Compared, Zoo
from point_ft_jax.experiments.jobs._robust_scores import (
    Scorer,
    Scores,
    Transfer,
    make_transfer,
    shared_cad,
)
from point_ft_jax.reports import robust as report_of
from point_ft_jax.reports.progress import progress
from point_ft_jax.reports.report import Report
from point_ft_jax.reports.robust_evidence import Comparison, along
from point_ft_jax.weight_space import arithmetic, merges

RANDOM = 'random'


def run(config: ConfigDict, command: str = '') -> Report:
    """Runs the experiment that the config describes, and writes its report and figures.

    Args:
        config: see `configs/robust.py`.
        command: what the report says that made it.

    Returns:
        The report that was written to the run's folder; its record is a `Comparison`.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
        Stopped: Ctrl-C or SIGTERM while something trains; what was done is saved.
    """
    _check(config)
    folder, _ = run_folder.begin(config)
    transfer = _transfer(config)
    cad = _cad(config)
    checkpoint = _checkpoint(config, folder)
    stages = [
        _Stage(_at(config, setting, checkpoint), folder / setting, seed, transfer, cad)
        for setting in config.robust.settings
        for seed in config.seeds
    ]
    for stage in stages:
        _robust_models.train(stage.config, stage.folder, stage.seed, command)
    for ends in (True, False):
        names = [name for name in _rows(config) if (name in _end_rows(config)) == ends]
        with progress(len(stages) * len(names), label='ends' if ends else 'models') as show:
            for number, (stage, name) in enumerate((s, n) for s in stages for n in names):
                stage.measured(name)
                if main_process():
                    show(number + 1)
        if ends:
            found = _comparison(config, command, checkpoint, stages, _end_rows(config))
            devices.say(report_of.conditions_text(found))
    found = _comparison(config, command, checkpoint, stages, _rows(config))
    report = report_of.make_report(found)
    if main_process():
        path = report.write(folder)
        devices.say(report.outcome)
        devices.say(f'report: {path}')
    return report


class _Stage:
    """One setting and seed: its models and their scores, which are kept in files."""

    def __init__(
        self,
        config: ConfigDict,
        folder: pathlib.Path,
        seed: int,
        transfer: Mapping[str, Transfer],
        cad: Split | None,
    ) -> None:
        self.config, self.folder, self.seed = config, folder, seed
        self._transfer, self._cad = transfer, cad

    @functools.cached_property
    def zoo(self) -> Zoo:
        """The models."""
        full = _robust_models.trained(self.folder, FULL, self.seed)
        reestimate = _wise_measurements.make_reestimate(self.config, full.model, self.seed)

        def score(variables: Mapping) -> float:
            return self.scorer.validation(full.model, variables)

        return Zoo(self.config, self.folder, self.seed, reestimate, score)

    @functools.cached_property
    def scorer(self) -> Scorer:
        """What measures them."""
        full = _robust_models.trained(self.folder, FULL, self.seed)
        head = {name: tree.get('head', {}) for name, tree in full.variables.items()}
        own = (self.config, full.model, head, {}, {}, self.folder / 'probe', self.seed)
        bench = _wise_measurements.make(*own)
        return Scorer(self.config, bench, self._transfer, self._cad, full.classes)

    def measured(self, name: str) -> Scores:
        """The scores of a model, from disk if it was measured before."""
        path = self.folder / 'scores' / f'{name}_{self.seed}.npz'
        if not path.exists():
            found = self._measure(name)
            if main_process():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix('.partial.npz')
                np.savez_compressed(partial, **found)
                partial.rename(path)
            return found
        with np.load(path) as kept:
            return dict(kept)

    def _measure(self, name: str) -> Scores:
        if name == RANDOM:
            return self.scorer.transfer_scores(self.zoo.random())
        return self.scorer.scores(self._model(name))

    def _model(self, name: str) -> Compared:
        alphas = {along(alpha): alpha for alpha in self.config.wise.alphas}
        return self.zoo.along(alphas[name]) if name in alphas else self.zoo.named(name)

    def distance(self) -> dict[str, float]:
        """How far fine-tuning moved each block of the backbone, relative to its norm."""
        path = self.folder / 'scores' / f'distance_{self.seed}.json'
        if not path.exists():
            ends = self.zoo.ends
            backbones = (one['params']['backbone'] for one in (ends.pretrained, ends.finetuned))
            found = arithmetic.distance(*backbones, relative=True)
            finite = {block: value for block, value in found.items() if np.isfinite(value)}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, finite)
        return read_json(path)


def _rows(config: ConfigDict) -> list[str]:
    """Every model that is measured, by name."""
    runs = [name for name in config.robust.runs if name not in (FULL, PROBE)]
    return [RANDOM, *map(along, config.wise.alphas), *runs, *config.robust.merges]


def _end_rows(config: ConfigDict) -> list[str]:
    return [RANDOM, along(0), along(1)]


def _comparison(
    config: ConfigDict, command: str, checkpoint: str, stages: list[_Stage], names: list[str]
) -> Comparison:
    """What the report is made from: the scores of all seeds together."""
    scores: dict = {}
    distances: dict = {}
    for setting in config.robust.settings:
        own = [stage for stage in stages if stage.folder.name == setting]
        scores[setting] = {name: _joined([stage.measured(name) for stage in own]) for name in names}
        distances[setting] = [stage.distance() for stage in own]
    return Comparison(
        name=config.name,
        command=command,
        protocol=_protocol(config, checkpoint),
        alphas=tuple(config.wise.alphas),
        scores=scores,
        distances=distances,
        limits=config.robust.limits.to_dict(),
    )


def _joined(seeds: list[Scores]) -> Scores:
    """{name: [seeds, …]}."""
    return {name: np.stack([one[name] for one in seeds]) for name in seeds[0]}


def _transfer(config: ConfigDict) -> dict[str, Transfer]:
    """The transfer sets of the config, and the folders of one's own beside them."""
    sections = {name: config.robust.transfer[name] for name in config.robust.transfer}
    for root in config.robust.folders:
        name = pathlib.Path(root).name
        sections[name] = ConfigDict({'name': 'folder', 'root': root, 'normalize': True})
    return {
        name: make_transfer(config, build.read(section, f'robust.transfer.{name}'))
        for name, section in sections.items()
    }


def _cad(config: ConfigDict) -> Split | None:
    if not shared_cad(config):
        return None
    return build.read(config.robust.cad, 'robust.cad')['train']


def _checkpoint(config: ConfigDict, folder: pathlib.Path) -> str:
    """Where the pre-trained backbone is: as the config says, or made here."""
    if not config.pretraining:
        return config.init.checkpoint
    made = copy.deepcopy(config.pretraining)
    made.folder = str(folder / 'pretrained')
    pretrain.run(made)
    return made.folder


def _at(config: ConfigDict, setting: str, checkpoint: str) -> ConfigDict:
    """The experiment's config on one setting, a variant of the data."""
    here = copy.deepcopy(config)
    here.init.checkpoint = checkpoint
    here.data.variant = setting
    return here


def _check(config: ConfigDict) -> None:
    """Raises UserError for what would otherwise be found wrong after hours."""
    plan, alphas = config.robust, list(config.wise.alphas)
    problems = []
    if alphas != sorted(set(alphas)) or not {0, 1} <= set(alphas):
        problems.append(f'wise.alphas is {alphas}; expected ascending numbers, 0 and 1 among them')
    for name in (FULL, PROBE):
        if name not in plan.runs:
            problems.append(f'robust.runs lacks {name!r}, which everything is compared with')
    problems += [f'robust.{n} is empty; expected one or more' for n in ('settings',) if not plan[n]]
    if not (plan.transfer or plan.folders):
        problems.append('there is no transfer set: give robust.transfer or robust.folders')
    problems += [
        f'robust.soup has {name!r}; expected names of robust.runs, {", ".join(plan.runs)}'
        for name in plan.soup
        if name not in plan.runs
    ]
    problems += [
        f'robust.merges.{name} has method {one.method!r}; expected one of '
        f'{", ".join(merges.METHODS)}'
        for name, one in plan.merges.items()
        if one.method not in merges.METHODS
    ]
    if config.select != 'validation' or not config.validation.fraction > 0:
        problems.append('no held-out clouds are left to choose alpha by: give validation.fraction')
    raise_all(problems, 'this experiment makes no sense:')
    for name, options in plan.adapt.items():
        check_adaptation(name, options)
    if not plan.svm.cs or not plan.svm.raw_cs:
        raise UserError('robust.svm.cs or robust.svm.raw_cs is empty; expected one C or more')
    shared_cad(config)


def _protocol(config: ConfigDict, checkpoint: str) -> dict[str, str]:
    """What the numbers mean, in words."""
    c = config.corruptions
    return {
        'backbone': f'{config.model.backbone} {config.model.variant}, '
        + (checkpoint if not config.pretraining else 'pre-trained by this run'),
        'fine-tuned on': f'{run_folder.data_line(config)}, {config.points:,} points, '
        f'{config.train.epochs} epochs at {config.optim.lr:g}',
        'seeds': ', '.join(map(str, config.seeds)),
        'probing': f'{config.probe.epochs} epochs on features, head: {config.probe.head}',
        'SVM': f'{config.svm.classifier}, C chosen on {config.robust.svm.folds} held-out folds',
        'few shots': f'{config.few_shot.ways[0]}-way {config.few_shot.shots[0]}-shot at most, '
        f'{config.few_shot.folds} draws',
        'corruptions': f'{c.suite}, severities {tuple(c.severities)}' if c.suite else 'none',
        'soups': f'of {", ".join(config.robust.soup)}',
        'alpha': 'chosen by held-out target clouds',
    }
