"""The experiment on WiSE-FT and WiSE-FT-LP, from a config to a report.

Stages: pre-train (unless a backbone is given), fine-tune on every setting and seed, measure the
models between the two. Each is kept in the run's folder: a run that was killed goes on with the
stage, and within a training with the step, where it was.
"""

import copy
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.checkpoints import pretrained
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.store import CheckpointStore
from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.json_files import read_json, write_json
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import corruptions
from point_ft_jax.evaluation.few_shot import Fold
from point_ft_jax.evaluation.linear_svm import CLASSIFIERS
from point_ft_jax.experiments import build, run_folder
from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.jobs import _wise_measurements, finetune, pretrain
from point_ft_jax.models import torch_names
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.reports import wise as wise_report
from point_ft_jax.reports.progress import progress
from point_ft_jax.reports.report import Report
from point_ft_jax.reports.wise import Experiment, SeedCurves
from point_ft_jax.weight_space import arithmetic, batch_statistics, wise
from point_ft_jax.weight_space.wise import Bench, Ends

HEADS = ('continue', 'fresh')


def run(config: ConfigDict, command: str = '') -> Report:
    """Runs the experiment that the config describes, and writes its report and figures.

    Args:
        config: see `config.wise`.
        command: what the report says that made it.

    Returns:
        The report that was written to the run's folder; its record is an `Experiment`.

    Raises:
        UserError: anything that the config, its data or its checkpoint has wrong.
        Stopped: Ctrl-C or SIGTERM while something trains; what was done is saved.
    """
    _check(config)
    folder, _ = run_folder.begin(config)
    source = build.read(config.source, 'source')
    folds = _wise_measurements.draw_folds(config, source)
    checkpoint = _pretrained(config, folder)
    settings, clouds = {}, {}
    for setting in config.wise.settings:
        here = _at(config, setting, checkpoint, folder / setting)
        clouds[setting] = finetune.run(_tuning(here)).record.clouds['test']
        settings[setting] = [
            _seed(here, folder / setting / f'seed_{seed}', seed, source, folds)
            for seed in config.seeds
        ]
    report = wise_report.make_report(
        Experiment(
            name=config.name,
            command=run_folder.command_of(folder, command),
            protocol=_protocol(config, checkpoint),
            statistics=tuple(config.wise.statistics),
            settings=settings,
            clouds=clouds,
        )
    )
    return run_folder.publish(report, folder)


def _check(config: ConfigDict) -> None:
    """Raises UserError for what would otherwise be found wrong after hours."""
    alphas, suite = list(config.wise.alphas), config.corruptions.suite
    outside = [alpha for alpha in alphas if not 0 <= alpha <= 1]
    problems = [f'wise.alphas has {alpha}; expected numbers in 0..1' for alpha in outside]
    if alphas != sorted(set(alphas)) or not {0, 1} <= set(alphas):
        problems.append(f'wise.alphas is {alphas}; expected ascending numbers, 0 and 1 among them')
    choices = {'probe.head': HEADS, 'svm.classifier': CLASSIFIERS}
    for name, known in choices.items():
        section, field = name.split('.')
        if config[section][field] not in known:
            problems.append(f'{name} is {config[section][field]!r}; expected {" or ".join(known)}')
    if config.select != 'validation' or not config.validation.fraction > 0:
        problems.append(
            'no held-out clouds are left to choose alpha by, since '
            f'select={config.select!r} and validation.fraction={config.validation.fraction}; '
            "expected 'validation', and a fraction above 0"
        )
    for name in ('settings', 'statistics'):
        if not config.wise[name]:
            problems.append(f'wise.{name} is empty; expected one or more')
    raise_all(problems, 'this experiment makes no sense:')
    for choice in config.wise.statistics:
        batch_statistics.check_choice(choice)
    for severity in config.corruptions.severities if suite else ():
        corruptions.find(next(iter(corruptions.SUITES.get(suite, [''])), ''), severity, suite)
    augment.named(config.probe.augment)


def _pretrained(config: ConfigDict, folder: pathlib.Path) -> str:
    """Where the pre-trained backbone is: as the config says, or made here."""
    if not config.pretraining:
        return config.init.checkpoint
    made = copy.deepcopy(config.pretraining)
    made.folder = str(folder / 'pretrained')
    pretrain.run(made)
    return made.folder


def _at(config: ConfigDict, setting: str, checkpoint: str, folder: pathlib.Path) -> ConfigDict:
    """The experiment's config on one setting, a variant of the data."""
    here = copy.deepcopy(config)
    here.name = f'{config.name}_{setting}'
    here.folder = str(folder)
    here.init.checkpoint = checkpoint
    here.data.variant = setting
    return here


def _tuning(config: ConfigDict) -> ConfigDict:
    """The config of the fine-tuning: the experiment's own, without its other sections."""
    plain = json.loads(config.to_json_best_effort())
    return ConfigDict({**{name: plain[name] for name in default()}, 'job': 'finetune'})


def _seed(
    config: ConfigDict,
    folder: pathlib.Path,
    seed: int,
    source: Mapping[str, Split],
    folds: Mapping[str, Sequence[Fold]],
) -> SeedCurves:
    """Everything about one fine-tuned model: its curves, by choice of statistics, and distances."""
    run = saved.load_run(folder)
    variables, _ = build.load_start(config, run.model, seed)
    path = wise.ends(run.model, variables, run.variables, _lacking(config, run.model, variables))
    fresh = {name: tree.get('head', {}) for name, tree in variables.items()}
    bench = _wise_measurements.make(
        config,
        run.model,
        fresh if config.probe.head == 'fresh' else path.head,
        source,
        folds,
        folder / 'probe',
        seed,
    )
    reestimate = _wise_measurements.make_reestimate(config, run.model, seed)
    (folder / 'wise').mkdir(exist_ok=True)
    curves = _curves(
        config, folder / 'wise', path, bench, reestimate, f'{config.data.variant}, seed {seed}'
    )
    first = config.wise.statistics[0]
    chosen = {kind: wise.best_alpha(curves[first], kind) for kind in ('wise', 'wise_lp')}
    alpha = config.wise.alphas[chosen['wise_lp']]
    _save_chosen(folder / 'chosen', run, path, bench, alpha, first, reestimate)
    backbones = (path.pretrained['params']['backbone'], path.finetuned['params']['backbone'])
    return SeedCurves(
        seed=seed,
        curves=curves,
        chosen=chosen,
        distance=arithmetic.distance(*backbones, relative=True),
        taken=path.taken,
    )


def _curves(
    config: ConfigDict,
    folder: pathlib.Path,
    path: Ends,
    bench: Bench,
    reestimate: Callable[[Variables], Variables],
    label: str,
) -> dict[str, list[dict]]:
    """What the models at all alphas are worth, by choice of statistics; the first in full."""
    alphas = tuple(config.wise.alphas)
    size = min(wise.together(path, config.wise.memory_bytes), len(alphas))
    chunks = [alphas[i : i + size] for i in range(0, len(alphas), size)]
    curves: dict[str, list[dict]] = {choice: [] for choice in config.wise.statistics}
    with progress(len(chunks) * len(curves), label=f'{label}: alphas') as show:
        for number, (choice, chunk) in enumerate((c, part) for c in curves for part in chunks):

            def compute(choice: str = choice, chunk: tuple[float, ...] = chunk) -> list[dict]:
                # Filled up with copies of its last: other numbers of models compile anew.
                full = (*chunk, *chunk[-1:] * (size - len(chunk)))
                models = wise.models_along(path, full, choice, reestimate)
                brief = choice != config.wise.statistics[0]
                return wise.measure(models, full, bench, brief)[: len(chunk)]

            name = f'{choice}_{chunk[0]:g}_{chunk[-1]:g}.json'
            curves[choice] += _cached(folder / name, compute)
            if main_process():
                show(number + 1)
    return curves


def _cached(path: pathlib.Path, compute: Callable[[], list[dict]]) -> list[dict]:
    """What a stage gives, from disk if it was done before."""
    if path.exists():
        try:
            kept = read_json(path)
            return kept['measured'] if isinstance(kept, dict) else kept  # of an older version
        except UserError as error:
            devices.say(f'{error} (it is measured again)')
    found = compute()
    if main_process():
        write_json(path, {'measured': found})
    return found


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


def _save_chosen(
    folder: pathlib.Path,
    run: TunedModel,
    path: Ends,
    bench: Bench,
    alpha: float,
    statistics: str,
    reestimate: Callable[[Variables], Variables],
) -> None:
    """The WiSE-FT-LP model at the chosen alpha, as a run that predict and export read."""
    if (folder / saved.FACTS).exists():
        return
    models = wise.models_along(path, [alpha], statistics, reestimate)
    seen = bench.target_features(models, bench.target['train'].points)[wise.HEAD]
    heads = bench.probe(models, seen, [alpha])
    model = {
        name: jax.tree.map(
            lambda leaf: np.asarray(leaf)[0],
            {**tree, **({'head': heads[name]} if heads[name] else {})},
        )
        for name, tree in models.items()
    }
    chosen = trees.select(model['params'], run.model.method.trainable)
    moving, frozen = trees.partition(model['params'], chosen)
    with CheckpointStore(folder / 'best') as best:
        if best.step() is None:
            best.save(1, (moving, model['batch_stats']), {'epoch': 1, 'alpha': alpha})
    saved.save_start(folder, run.model.spec, {**run.metadata, 'alpha': alpha}, frozen)


def _protocol(config: ConfigDict, checkpoint: str) -> dict[str, str]:
    """What the numbers mean, in words."""
    source = ' '.join(f'{v}' if k == 'name' else f'{k}={v}' for k, v in config.source.items())
    c = config.corruptions
    how = 'on features' if config.probe.augment == 'none' else f'with {config.probe.augment}'
    data = run_folder.data_line(config)
    return {
        'fine-tuned': f'{config.method.name} on {data}, {config.points:,} points',
        'pre-trained': 'by this run, see pretrained/' if config.pretraining else checkpoint,
        'probing': f'{config.probe.epochs} epochs {how}, head: {config.probe.head}',
        'SVM, neighbours, few shots': f'{config.svm.classifier}, C = {config.svm.c:g}, on {source}',
        'corruptions': f'{c.suite}, severities {tuple(c.severities)}' if c.suite else 'none',
        'alpha': 'chosen by held-out target clouds',
    }
