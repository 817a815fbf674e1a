"""Robust fine-tuning: every method in one table, with intervals, and conditions checked before.

Stages: fine-tune every run of the config for every setting and seed, measure the two ends, say
whether the experiment can tell anything, measure the rest, adapt. Each is kept in the run's folder:
a run that was killed goes on with the stage, and within a training with the step, where it was.
"""

import copy
import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.store import CheckpointStore
from point_ft_jax.core import array_file, devices, trees
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.jobs import _robust_bench, _robust_checks, _robust_models
from point_ft_jax.experiments.jobs._robust_models import ALONG, FULL, PROBE, Compared, Zoo
from point_ft_jax.experiments.jobs._robust_scores import (
    Scorer,
    Scores,
    TransferSet,
    make_transfer,
)
from point_ft_jax.reports import robust as report_of
from point_ft_jax.reports.progress import progress
from point_ft_jax.reports.report import Report
from point_ft_jax.reports.robust_evidence import ADAPTED, Comparison, along, of_head
from point_ft_jax.weight_space import arithmetic

RANDOM = 'random'


def run(config: ConfigDict, command: str = '') -> Report:
    """Runs the experiment that the config describes, and writes its report and figures.

    Args:
        config: see `configs/robust.py` and `configs/wise_ft_lp.py`.
        command: what the report says that made it.

    Returns:
        The report that was written to the run's folder; its record is a `Comparison`.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
        Stopped: Ctrl-C or SIGTERM while something trains; what was done is saved.
    """
    _robust_checks.check(config)
    folder, _ = run_folder.begin(config)
    command = run_folder.command_of(folder, command)
    transfer = _transfer(config)
    stages = [
        _Stage(_at(config, setting), folder / setting, seed, transfer)
        for setting in config.robust.settings
        for seed in config.seeds
    ]
    for stage in stages:
        _robust_models.train(stage.config, stage.folder, stage.seed, command)
    ends, others = [RANDOM, along(0), along(1)], _others(config)
    _measure(stages, ends, 'ends')
    compare = functools.partial(_comparison, config, command, stages)
    devices.say(report_of.conditions_text(compare(ends)))
    _measure(stages, others, 'models')
    adapted = [f'{ADAPTED}{name}' for name in _adapted(config)]
    _measure(stages, adapted, 'adaptation')
    for stage in stages:
        stage.save_chosen()
    report = report_of.make_report(compare([*ends, *others, *adapted]))
    return run_folder.publish(report, folder)


class _Stage:
    """One setting and seed: its models and their scores, which are kept in files."""

    def __init__(
        self,
        config: ConfigDict,
        folder: pathlib.Path,
        seed: int,
        transfer: Mapping[str, TransferSet],
    ) -> None:
        self.config, self.folder, self.seed = config, folder, seed
        self._transfer = transfer

    @functools.cached_property
    def zoo(self) -> Zoo:
        """The models."""
        full = _robust_models.trained(self.folder, FULL, self.seed)
        reestimate = _robust_bench.make_reestimate(self.config, full.model, self.seed)
        return Zoo(
            self.config, self.folder, self.seed, reestimate, lambda one: self.scorer.validation(one)
        )

    @functools.cached_property
    def scorer(self) -> Scorer:
        """What measures them."""
        full = self.zoo.full
        start = self.zoo.start if self.config.probe.head == 'fresh' else full.variables
        head = trees.part_of(start, 'head')
        place = self.folder / f'probe_{self.seed}'
        bench = _robust_bench.make_bench(self.config, full.model, head, place, self.seed)
        return Scorer(self.config, bench, self._transfer, full.classes)

    def measured(self, name: str) -> Scores:
        """The scores of a model, from disk if it was measured before."""
        if name == RANDOM:  # the same in every setting
            return self._kept(
                self.folder.parent / 'scores' / f'random_{self.seed}.npz',
                lambda: self.scorer.transfer_scores(self.zoo.random()),
            )
        path = self.folder / 'scores' / f'{name}_{self.seed}.npz'
        return self._kept(path, lambda: self._measure(name))

    def _kept(self, path: pathlib.Path, compute: Callable[[], Scores]) -> Scores:
        if path.exists():
            try:
                return array_file.read(path, unsigned=True)
            except UserError as error:
                devices.say(f'{error}; it is measured again')
        found = compute()
        if main_process():
            path.parent.mkdir(parents=True, exist_ok=True)
            array_file.write(path, found, packed=True)
        return found

    def _measure(self, name: str) -> Scores:
        if name.startswith(ADAPTED):
            return self._adapted(name.removeprefix(ADAPTED))
        alphas = {along(alpha): alpha for alpha in self.config.wise.alphas}
        if name not in alphas:
            return self.scorer.scores(self.zoo.named(name), name)
        one, kept = self.zoo.along(alphas[name]), None
        if alphas[name] == 0 and self._starts_alike():
            path = self.folder.parent / 'scores' / 'pretrained.npz'
            kept = self._kept(path, lambda: self.scorer.transfer_scores(one))
        found = self.scorer.scores(one, name, kept)
        for choice in self.config.wise.statistics[1:]:
            other = self.zoo.along(alphas[name], choice)
            found[f'statistics/{choice}'] = self.scorer.target(other)
        return found

    def _starts_alike(self) -> bool:
        """Whether the model at alpha 0 has the same features in every setting and with every seed.

        Not where it begins from random weights, or has something from the fine-tuned one.
        """
        tuned = self.zoo.ends.taken or self.config.wise.statistics[0] == 'finetuned'
        return bool(self.config.init.checkpoint) and not tuned

    def _chosen(self, row: str) -> tuple[float, str]:
        """The alpha and the head of a row of the table."""
        alpha, head = ALONG[row]
        if alpha is not None:
            return alpha, head
        scores = [self.measured(along(a))[f'validation/{head}'].mean() for a in self._alphas()]
        return self._alphas()[int(np.argmax(scores))], head

    def _alphas(self) -> list[float]:
        return list(self.config.wise.alphas)

    def _headed(self, row: str) -> Compared:
        """A model along the path under the head that its row has."""
        alpha, head = self._chosen(row)
        one = self.zoo.along(alpha)
        return self.scorer.probed(one, along(alpha)) if head == 'probed' else one

    def _adapted(self, row: str) -> Scores:
        if row not in ALONG:
            return self.scorer.adapted(self.zoo.named(row), of_head(self.measured(row), 'own'))
        alpha, head = self._chosen(row)
        return self.scorer.adapted(self._headed(row), of_head(self.measured(along(alpha)), head))

    def save_chosen(self) -> None:
        """Keeps the WiSE-FT-LP model at its chosen alpha as a run that predict and export read."""
        folder = self.folder / f'chosen_{self.seed}'
        if (folder / saved.FACTS).exists():
            return
        full, (alpha, _) = self.zoo.full, self._chosen('wise_lp')
        variables = self._headed('wise_lp').variables
        chosen = trees.select(variables['params'], full.model.method.trainable)
        moving, frozen = trees.partition(variables['params'], chosen)
        with CheckpointStore(folder / 'best') as best:
            if best.step() is None:
                best.save(1, (moving, variables['batch_stats']), {'epoch': 1, 'alpha': alpha})
        saved.save_start(folder, full.model.spec, {**full.metadata, 'alpha': alpha}, frozen)

    def distance(self) -> dict[str, float]:
        """How far fine-tuning moved each block of the backbone, relative to its norm."""
        path = self.folder / 'scores' / f'distance_{self.seed}.json'
        if not path.exists():
            ends = self.zoo.ends
            backbones = (one['params']['backbone'] for one in (ends.pretrained, ends.finetuned))
            found = arithmetic.distance(*backbones, relative=True)
            finite = {block: value for block, value in found.items() if np.isfinite(value)}
            write_json(path, {'blocks': finite, 'taken': list(ends.taken)})
        return read_json(path)['blocks']

    def taken(self) -> list[str]:
        """What the pre-trained file lacks, and is fine-tuned at every alpha."""
        self.distance()
        return read_json(self.folder / 'scores' / f'distance_{self.seed}.json')['taken']


def _measure(stages: list[_Stage], names: list[str], label: str) -> None:
    """Measures models of all stages, showing how far it is."""
    if not names:
        return
    with progress(len(stages) * len(names), label=label) as show:
        for number, (stage, name) in enumerate((s, n) for s in stages for n in names):
            stage.measured(name)
            if main_process():
                show(number + 1)


def _others(config: ConfigDict) -> list[str]:
    """Every model that is measured beside the two ends and random weights, by name."""
    inner = [along(alpha) for alpha in config.wise.alphas if 0 < alpha < 1]
    runs = [
        name
        for name, run in config.robust.runs.items()
        if name not in (FULL, PROBE) and run.get('population', 1) == 1  # else merged alone
    ]
    return [*inner, *runs, *config.robust.merges]


def _adapted(config: ConfigDict) -> list[str]:
    """The rows of the table that are adapted at test time."""
    plan = config.robust
    every = [*ALONG, *(name for name in _others(config) if not name.startswith('alpha_'))]
    return (
        [name for name in every if name in plan.adapted or not plan.adapted] if plan.adapt else []
    )


def _comparison(
    config: ConfigDict, command: str, stages: list[_Stage], names: list[str]
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
        protocol=_protocol(config),
        alphas=tuple(config.wise.alphas),
        scores=scores,
        distances=distances,
        limits=config.robust.limits.to_dict(),
        statistics=tuple(config.wise.statistics),
        taken=stages[0].taken(),
    )


def _joined(seeds: list[Scores]) -> Scores:
    """{name: [seeds, …]}."""
    return {name: np.stack([one[name] for one in seeds]) for name in seeds[0]}


def _transfer(config: ConfigDict) -> dict[str, TransferSet]:
    """The transfer sets of the config, and the folders of one's own beside them."""
    sections = {name: config.robust.transfer[name] for name in config.robust.transfer}
    for root in config.robust.folders:
        name = pathlib.Path(root).name
        sections[name] = ConfigDict({'name': 'folder', 'root': root, 'normalize': True})
    return {
        name: make_transfer(
            config, build.read(section, f'robust.transfer.{name}', None, config.points)
        )
        for name, section in sections.items()
    }


def _at(config: ConfigDict, setting: str) -> ConfigDict:
    """The experiment's config on one setting, a variant of the data."""
    here = copy.deepcopy(config)
    here.data.variant = setting
    return here


def _protocol(config: ConfigDict) -> dict[str, str]:
    """What the numbers mean, in words."""
    c, plan = config.corruptions, config.robust
    how = 'on features' if config.probe.augment == 'none' else f'with {config.probe.augment}'
    raw = 'chosen likewise' if plan.svm.raw_cs else f'C = {config.svm.c:g}'
    return {
        'backbone': f'{config.model.backbone} {config.model.variant}, '
        + (config.init.checkpoint or 'random weights'),
        'fine-tuned on': f'{run_folder.data_line(config)}, {config.points:,} points, '
        f'{config.train.epochs} epochs at {config.optim.lr:g}',
        'seeds': ', '.join(map(str, config.seeds)),
        'probing': f'{config.probe.epochs} epochs {how}, head: {config.probe.head}',
        'SVM': f'{config.svm.classifier}; standardised, C chosen on {plan.svm.folds} held-out '
        f'folds; raw, {raw}',
        'nearest neighbours': f'{config.svm.neighbours}, by the cosine of features',
        'few shots': f'ways {tuple(config.few_shot.ways)} and shots {tuple(config.few_shot.shots)} '
        f'at most, {config.few_shot.folds} draws',
        'corruptions': f'{c.suite}, severities {tuple(c.severities)}' if c.suite else 'none',
        **({'merges of several': f'of {", ".join(plan.soup)}'} if plan.soup else {}),
        'alpha': 'chosen by held-out target clouds',
    }
