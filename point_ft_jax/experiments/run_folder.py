"""How every job of run.py begins: with a checked config and its own folder."""

import json
import math
import pathlib
import shlex
from typing import Any

from ml_collections import ConfigDict

from point_ft_jax.core import agreement, devices, disk, folder_lock
from point_ft_jax.core.devices import main_process
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.json_files import CHECKSUM, fields, read_json, write_json
from point_ft_jax.experiments.saved_config import skeleton
from point_ft_jax.reports.report import Report
from point_ft_jax.training import trackers
from point_ft_jax.training.plan import TrainingPlan
from point_ft_jax.training.population import Member

CONFIG = 'config.json'
CORRUPT = ('corruptions', 'robust')  # jobs whose configs have a section of that name
TOGETHER = ('finetune', 'compare')  # jobs that train many members in one program


def begin(config: ConfigDict) -> tuple[pathlib.Path, dict[str, Any]]:
    """The folder of the config's run, made or found again, and the config as plain values.

    Raises:
        UserError: numbers that make no sense, a folder that holds a run of another config, or one
            that another process runs in, or processes of one run with other configs or code.
    """
    _check(config)
    trackers.check(_log(config))
    folder = pathlib.Path(config.folder or f'runs/{config.name}').expanduser().absolute()
    plain = json.loads(config.to_json_best_effort(sort_keys=True))
    plain.pop(CHECKSUM, None)  # of a config that was read from a run's folder
    agreement.check({'config': _shared(plain), **agreement.versions()})
    if main_process():
        _enter(folder)
    _claim(folder, plain)
    return folder, plain


OWN = ('folder', 'root', 'checkpoint', 'run')  # fields that each host may have its own path in


def _shared(value: Any) -> Any:
    """A config's values without the paths that each host has of its own."""
    if not isinstance(value, dict):
        return value
    return {name: _shared(item) for name, item in value.items() if name not in OWN}


def _enter(folder: pathlib.Path) -> None:
    """Takes the folder for this process; UserError where another has it."""
    safe = 'What is there stays as it is: mend that, or give another --config.folder'
    try:
        with disk.writing(f'{folder}', safe):
            folder.mkdir(parents=True, exist_ok=True)
            folder_lock.hold(folder, devices.say)
    except OSError as error:
        raise UserError(
            f'{folder} cannot hold a run ({error}); give another --config.folder'
        ) from None


def plan(config: ConfigDict, seed: int) -> TrainingPlan:
    """How long to train and what to keep."""
    return TrainingPlan(
        epochs=config.train.epochs,
        batch_size=config.train.batch_size,
        seed=seed,
        select=config.select,
        evaluate_every=config.train.evaluate_every,
        save_every_seconds=config.train.save_every_seconds,
        device_bytes=config.train.device_bytes,
        log=_log(config),
    )


def members(config: ConfigDict) -> list[Member]:
    """The members of a population: one for each learning rate, or one for each seed."""
    (seed,) = config.seeds
    if config.population_rates:
        return [Member(seed, rate / config.optim.lr) for rate in config.population_rates]
    return [Member(seed + k) for k in range(config.population)]


def seeds(config: ConfigDict) -> list[int]:
    """The seeds of all models that the config trains."""
    if config.population == 1:
        return list(config.seeds)
    return sorted({member.seed for member in members(config)})


def member_name(config: ConfigDict, member: Member) -> str:
    """The name of a member's folder."""
    rate = f'_lr_{member.rate * config.optim.lr:g}' if config.population_rates else ''
    return f'seed_{member.seed}{rate}'


def command_of(folder: pathlib.Path, command: str) -> str:
    """The command of a run, as a shell takes it; one that reads its config where none is given."""
    return command or shlex.join(['python', 'run.py', f'--config={folder / CONFIG}'])


def publish(report: Report, folder: pathlib.Path) -> Report:
    """Writes a report to its run's folder and says where; once among the processes of a run."""
    if main_process():
        path = report.write(folder)
        devices.say(f'{report.outcome}\nreport: {path}; {path.with_suffix(".html").name} shows it')
    return report


def model_line(config: ConfigDict) -> str:
    """Method, backbone and where its weights come from, for a report."""
    start = config.init.checkpoint or 'random weights'
    return f'{config.method.name} on {config.model.backbone} {config.model.variant} from {start}'


def data_line(config: ConfigDict) -> str:
    """The data set and its options, for a report; that it is the official release goes unsaid."""
    said = {k: v for k, v in sorted(config.data.items()) if v not in (None, ()) and k != 'name'}
    options = [f'{k}={v}' for k, v in said.items() if (k, v) != ('official', True)]
    return ' '.join([config.data.name, *options])


def _log(config: ConfigDict) -> tuple[str, ...]:
    """Where metrics are mirrored to; runs of before there was a choice had TensorBoard."""
    return tuple(config.get('log', ('tensorboard',)))


def _check(config: ConfigDict) -> None:
    """Raises UserError for numbers that no part below looks at."""
    positive = {
        'points': config.points,
        'train.epochs': config.train.epochs,
        'train.batch_size': config.train.batch_size,
        'train.evaluate_every': config.train.evaluate_every,
        'optim.lr': config.optim.lr,
        'vote.repeats': config.vote.repeats,
    }
    wrong = [
        f'{name} is {value}; expected a finite number'
        for name, value in fields(json.loads(config.to_json_best_effort())).items()
        if any(isinstance(one, float) and not math.isfinite(one) for one in _each(value))
    ]
    wrong += [
        f'{name} is {value}; expected more than 0' for name, value in positive.items() if value <= 0
    ]
    seeds = set(config.seeds)
    if not seeds or len(seeds) != len(config.seeds) or min(seeds) < 0:
        wrong.append(f'seeds is {config.seeds}; expected one or more different numbers from 0 on')
    for name, value in {
        'validation.seed': config.validation.seed,
        'optim.warmup': config.optim.warmup,
        'vote.votes': config.vote.votes,  # 0: no voting
        'optim.l2_sp': config.optim.l2_sp,
        **({'corruptions.clouds': config.corruptions.clouds} if config.job in CORRUPT else {}),
    }.items():
        if value < 0:
            wrong.append(f'{name} is {value}; expected 0 or more')
    rates = config.population_rates
    if config.population < 1 or (rates and len(rates) != config.population) or len(rates) == 1:
        wrong.append(
            f'population is {config.population}, population_rates {rates}; expected 1 or more '
            'members, and as many rates, two at least, if any'
        )
    if config.population > 1 and config.job not in TOGETHER:
        wrong.append(
            f'population is {config.population}, and the job {config.job!r} has one member; '
            f'populations are for {" and ".join(TOGETHER)}'
        )
    if config.population > 1 and len(config.seeds) != 1:
        wrong.append(
            f'seeds is {config.seeds} and population {config.population}; expected one seed, from '
            'which a population counts on'
        )
    if any(rate <= 0 for rate in rates) or len(set(rates)) != len(rates):
        wrong.append(f'population_rates is {rates}; expected different numbers, more than 0')
    if config.population_clouds not in ('own', 'shared'):
        wrong.append(
            f"population_clouds is {config.population_clouds!r}; expected 'own' or 'shared'"
        )
    if not 0 <= config.train.smoothing < 1:
        wrong.append(f'train.smoothing is {config.train.smoothing}; expected 0 to 1')
    if not 0 <= config.optim.ema < 1:
        wrong.append(f'optim.ema is {config.optim.ema}; expected 0 (no average) to below 1')
    raise_all(wrong, 'the config has values that make no sense:')


def _claim(folder: pathlib.Path, plain: dict[str, Any]) -> None:
    """Makes the run's folder, or checks that what is there was made by the same config.

    A config alone is that of a run which ended before it began, on a mistake: it gives way.
    """
    path = folder / CONFIG
    here = fields({k: v for k, v in plain.items() if k != 'folder'})
    if path.exists() and any(
        file.name not in (CONFIG, folder_lock.NAME) for file in folder.iterdir()
    ):
        try:
            config = read_json(path)
        except UserError as error:
            raise UserError(
                f'{path} cannot be read ({error}); give another --config.folder, or remove it to '
                'start over'
            ) from None
        # A field that an older run lacks had its default's meaning.
        known = fields(json.loads(skeleton(plain['job']).to_json_best_effort()))
        there = known | fields({k: v for k, v in config.items() if k != 'folder'})
        now = known | here
        wrong = sorted(k for k in now.keys() | there.keys() if now.get(k) != there.get(k))
        if wrong:
            lines = [f'{k}: {there.get(k)} there, {now.get(k)} now' for k in wrong]
            raise UserError(
                f'{folder} holds a run of another config; give another --config.folder, or remove '
                'it to start over:\n  - ' + '\n  - '.join(lines)
            )
        return
    if main_process():
        with disk.writing(f'{path}', 'Give another --config.folder'):
            write_json(path, plain)


def _each(value: Any) -> list[Any]:
    """A value, or those of a list of values, themselves lists or not."""
    return [e for v in value for e in _each(v)] if isinstance(value, list | tuple) else [value]
