"""Where a run's metrics are mirrored to: TensorBoard, Weights & Biases, MLflow.

metrics.jsonl is what is kept and read back; a tracker shows the same numbers. A tracker is opened
for each member of a run, and gets its scalars by step. `wandb` and `mlflow` are optional packages,
and their own environment variables say where they write: WANDB_MODE=offline keeps all on this
machine, MLFLOW_TRACKING_URI names a server or a file.
"""

import contextlib
import hashlib
import importlib.util
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from point_ft_jax.core.errors import UserError, raise_all

PROJECT = 'point_ft_jax'
PACKAGES = {'wandb': 'wandb', 'mlflow': 'mlflow-skinny sqlalchemy'}  # module -> what pip installs

# Adds the scalars of a step.
Add = Callable[[int, Mapping[str, float]], None]


def check(names: Sequence[str]) -> None:
    """Raises UserError for trackers that there are not, or whose package is missing."""
    problems = [f'there is no tracker {name!r}' for name in names if name not in TRACKERS]
    problems += [
        f'{name} needs a package that is not installed: pip install {package}'
        for name, package in PACKAGES.items()
        if name in names and importlib.util.find_spec(name) is None
    ]
    raise_all(problems, f'log names trackers; there are {", ".join(TRACKERS)}:')


@contextlib.contextmanager
def opened(names: Sequence[str], folder: pathlib.Path, resume_step: int) -> Iterator[Add]:
    """What adds to all trackers of these names.

    Args:
        names: of TRACKERS.
        folder: of a member; it names the run, so that a run that goes on is found again.
        resume_step: see `metrics_log.writer`.

    Raises:
        UserError: see `check`; or a tracker that can't be opened.
    """
    check(names)
    with contextlib.ExitStack() as stack:
        adds = []
        for name in names:
            try:
                adds.append(stack.enter_context(TRACKERS[name](folder, resume_step)))
            except UserError:
                raise
            except Exception as error:  # their own, of a server that does not answer above all
                raise UserError(
                    f'{name} cannot be opened ({type(error).__name__}: {str(error)[:200]}); mend '
                    'that, or leave it out of log'
                ) from error

        def add(step: int, scalars: Mapping[str, float]) -> None:
            for one in adds:
                one(step, scalars)

        yield add


@contextlib.contextmanager
def _tensorboard(folder: pathlib.Path, resume_step: int) -> Iterator[Add]:
    """An event file in the folder itself, of a name of its own.

    Written here and now: tensorboardX's own writer does it in a thread, where a full disk is a
    traceback, and from then on a wait without end.
    """
    events = EventsWriter(str(folder / 'events'), f'.{time.time_ns()}')

    def write(step: int, **what: Any) -> None:
        events.write_event(Event(step=step, wall_time=time.time(), **what))

    # TensorBoard hides what an earlier file of the folder has from this step on.
    write(resume_step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            write(step, summary=summary.scalar(name, value))
        events.flush()

    try:
        yield add
    finally:
        with contextlib.suppress(OSError):  # which `add` has raised, where it mattered
            events.close()


@contextlib.contextmanager
def _wandb(folder: pathlib.Path, resume_step: int) -> Iterator[Add]:
    """A run of the project point_ft_jax, named after the last two folders of its path."""
    import wandb

    run = wandb.init(
        project=PROJECT,
        name=_name(folder),
        id=_identity(folder),
        dir=str(folder),
        resume='allow',
        reinit='create_new',  # members of a population are open at once
    )
    try:
        yield lambda step, scalars: run.log(dict(scalars), step=step)
    finally:
        run.finish()


@contextlib.contextmanager
def _mlflow(folder: pathlib.Path, resume_step: int) -> Iterator[Add]:
    """A run of the experiment point_ft_jax, found again by a tag."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient()
    experiment = client.get_experiment_by_name(PROJECT)
    number = experiment.experiment_id if experiment else client.create_experiment(PROJECT)
    tag = {'point_ft_jax.run': _identity(folder)}
    found = client.search_runs([number], f"tags.`point_ft_jax.run` = '{_identity(folder)}'")
    run = found[0] if found else client.create_run(number, tags=tag, run_name=_name(folder))

    def add(step: int, scalars: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        client.log_batch(run.info.run_id, [Metric(k, v, now, step) for k, v in scalars.items()])

    try:
        yield add
    finally:
        client.set_terminated(run.info.run_id)


def _name(folder: pathlib.Path) -> str:
    """'recon_dapt/seed_0'."""
    return '/'.join(folder.absolute().parts[-2:])


def _identity(folder: pathlib.Path) -> str:
    """What stands for a folder: equal for the same one only."""
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]


TRACKERS: dict[str, Callable[[pathlib.Path, int], AbstractContextManager[Add]]] = {
    'tensorboard': _tensorboard,
    'wandb': _wandb,
    'mlflow': _mlflow,
}
