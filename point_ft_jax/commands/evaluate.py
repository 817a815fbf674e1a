"""Evaluates a checkpoint on the test split of a data set.

python run.py --config=configs/recon_dapt.py
point-ft evaluate --checkpoint=runs/recon_dapt
    a run of this project, on the data that it was tested on; --config gives other data
point-ft evaluate --checkpoint=runs/a,runs/b,runs/c
    several runs of one method over one backbone, in one compiled call
point-ft evaluate --checkpoint=delta --backbone=recon.pth
    a delta over a copy of its backbone
point-ft evaluate --checkpoint=published.pth \\
    --config=configs/recon_dapt.py:pb_t50_rs --config.data.root=DATA
    a fine-tuned file of the PyTorch world, as the model that the config names
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.experiments import command_line

if TYPE_CHECKING:
    from point_ft_jax.data.split import Split
    from point_ft_jax.models.spec import Spec

CHECKPOINT = flags.DEFINE_list('checkpoint', None, "A run's or a delta's folder, or a .pth file.")
BACKBONE = flags.DEFINE_string('backbone', None, "A .pth or a run with a delta's backbone.")
KEY = flags.DEFINE_string('key', None, 'The entry of a .pth that holds the weights.')
PREFIX = flags.DEFINE_string('prefix', '', 'What the names of the weights in a .pth begin with.')
CONFIG = config_flags.DEFINE_config_file('config', None, 'What run.py takes.', lock_config=True)
BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Clouds at once.', lower_bound=1)

FLAGS = ('--checkpoint', '--backbone', '--key', '--prefix', '--config', '--batch_size')


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    if not arguments or {'-h', '--help'} & set(arguments):
        print(__doc__ + '\nflags: ' + ', '.join(FLAGS) + '; --config.FIELD=VALUE changes a field')
        return
    command_line.run_with_config(_main, ['point-ft evaluate', *arguments])


def _main(_: list[str]) -> None:
    command_line.start()
    if not CHECKPOINT.value:
        raise UserError("--checkpoint is missing: give a run's folder, a delta's, or a .pth file")
    pth = [*CHECKPOINT.value, *([BACKBONE.value] if BACKBONE.value else [])]
    if (KEY.value or PREFIX.value) and all(pathlib.Path(path).is_dir() for path in pth):
        raise UserError('--key and --prefix say where the weights are in a .pth; none is given')
    source = {'backbone': BACKBONE.value, 'key': KEY.value, 'prefix': PREFIX.value}
    if len(CHECKPOINT.value) > 1:
        print(compared(CHECKPOINT.value, CONFIG.value, BATCH_SIZE.value, **source))
    else:
        print(evaluated(CHECKPOINT.value[0], CONFIG.value, BATCH_SIZE.value, **source))


def compared(
    checkpoints: Sequence[str],
    config: ConfigDict | None,
    batch_size: int,
    backbone: str | None = None,
    key: str | None = None,
    prefix: str = '',
) -> str:
    """The accuracy, or IoU, of several runs over one backbone, evaluated together, as a table.

    Raises:
        UserError: see `load_run` and `delta.stack`; or a run that the data do not fit.
    """
    import functools

    import jax

    from point_ft_jax.checkpoints import delta
    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.core import trees
    from point_ft_jax.core.devices import make_mesh
    from point_ft_jax.evaluation import inference
    from point_ft_jax.experiments import build
    from point_ft_jax.reports import finetuning, tables

    deltas = [saved.read_delta(path) for path in checkpoints]
    stacked, shared = delta.stack(deltas)
    metadata = deltas[0].metadata
    config = _as_stored(config or build.config_of(metadata, checkpoints[0]), metadata)
    splits = build.load_splits(config, metadata['classes'])
    test = splits['test']
    for path, one in zip(checkpoints, deltas, strict=True):
        _check_run(path, one.model.spec, one.metadata, config, test)
    others = [
        line
        for path, one in zip(checkpoints, deltas, strict=True)
        for line in _other_data(path, one.metadata, splits)
    ]
    if len(counts := {one.metadata['points'] for one in deltas}) > 1:
        raise UserError(
            f'the runs take {", ".join(map(str, sorted(counts)))} points; evaluate those of one '
            'number together'
        )
    # Weights are read last: a mistake in the data is found before.
    run = saved.load_run(checkpoints[0], backbone, key=key, prefix=prefix)
    own = trees.flatten(deltas[0].params)
    frozen = trees.map_paths(
        lambda path, leaf: None if path in own else leaf, run.variables['params']
    )
    task = build.task_of(config, test)
    points, targets = task.prepare(test, metadata['points'])
    answer = functools.partial(task.answer, run.model.module)
    many = inference.all_in_batches(answer, make_mesh(), batch_size, shared)
    answers = many((stacked, frozen), points, targets)
    score, label = finetuning.TASKS[task.name].HEADLINE
    rows = []
    for k, path in enumerate(checkpoints):
        mine = jax.tree.map(lambda array, k=k: array[:, k], answers)
        scores = task.evaluation(0, task.record(mine, targets)).scores()
        rows.append({'checkpoint': path, label: f'{100 * scores[score]:.2f}'})
    clouds = f'{len(test)} clouds of the test split, {metadata["points"]} points each'
    head = [clouds, *_absent(test), *others]
    return '\n'.join([*head, '', tables.text(rows)])


def evaluated(
    checkpoint: str,
    config: ConfigDict | None,
    batch_size: int,
    backbone: str | None = None,
    key: str | None = None,
    prefix: str = '',
) -> str:
    """The scores of a checkpoint, overall and by class, as text.

    `key` and `prefix` say where the weights are in a .pth file; see `torch_file.state_dict`.

    Raises:
        UserError: a checkpoint or data that can't be read, or that don't fit each other.
    """
    import functools

    import jax
    import numpy as np

    from point_ft_jax.checkpoints import run as saved
    from point_ft_jax.checkpoints import weights
    from point_ft_jax.core.devices import make_mesh
    from point_ft_jax.evaluation import inference
    from point_ft_jax.experiments import build
    from point_ft_jax.models import AutoencoderSpec

    if not pathlib.Path(checkpoint).expanduser().exists():
        raise UserError(f'{checkpoint}: no such file or folder')
    if pathlib.Path(checkpoint).expanduser().is_dir():
        spec, metadata = saved.facts(checkpoint)
        if isinstance(spec, AutoencoderSpec):
            saved.load_run(checkpoint)  # says what to do with it
        config = _as_stored(config or build.config_of(metadata, checkpoint), metadata)
        splits = build.load_splits(config, metadata['classes'])
        test, num_points = splits['test'], metadata['points']
        _check_run(checkpoint, spec, metadata, config, test)
        others = _other_data(checkpoint, metadata, splits)
        run = saved.load_run(checkpoint, backbone, key=key, prefix=prefix)
        model, variables, origin = run.model, run.variables, f'run {checkpoint}'
    else:
        others = []
        if config is None:
            raise UserError(f'{checkpoint} is no run: say what model it is with --config=…')
        test = build.load_splits(config)['test']
        state = weights.read(checkpoint, key, prefix).state
        outputs = build.outputs_of(config, state) or len(test.classes)
        model = build.build_model(config, outputs, len(test.part_names))
        shapes = model.shapes()
        variables, report = model.load_all(shapes, state, checkpoint)
        origin, num_points = f'{checkpoint}: {report}', config.points
        if outputs < len(test.classes):
            raise UserError(
                f'{checkpoint} predicts {outputs} classes, but the data set has {len(test.classes)}'
            )
    task = build.task_of(config, test)
    points, targets = task.prepare(test, num_points)
    answer = functools.partial(task.answer, model.module)
    variables = jax.tree.map(np.asarray, variables)
    answers = inference.in_batches(answer, make_mesh(), batch_size)(variables, points, targets)
    evaluation = task.evaluation(0, task.record(answers, targets))
    clouds = f'{len(test)} clouds of the test split, {num_points} points each'
    lines = [origin, clouds, *_absent(test), *others]
    return '\n'.join([*lines, *_scores(task.name, evaluation, test.classes)])


def _as_stored(config: ConfigDict, metadata: Mapping[str, Any]) -> ConfigDict:
    """The config, of clouds of one's own as many points kept as those of the training had."""
    from point_ft_jax.experiments.choices import OF_ONES_OWN

    found = ConfigDict(config.to_dict())
    if found.data.name in OF_ONES_OWN and found.data.get('num_points') is None:
        found.data.num_points = metadata.get('stored_points')
    return found


def _check_run(
    path: str, spec: 'Spec', metadata: Mapping[str, Any], config: ConfigDict, test: 'Split'
) -> None:
    """Raises UserError for data of another task or with other classes than a run's."""
    problems = []
    from point_ft_jax.training.tasks import kinds

    task = kinds.of_model(spec).name
    if task != config.task:
        problems.append(f"its task is {task}, the config's {config.task}")
    classes = metadata['classes']
    if list(classes) != list(test.classes):
        some = [', '.join(map(str, list(names)[:4])) for names in (classes, test.classes)]
        problems.append(
            f'it predicts {len(classes)} classes ({some[0]}, …), but the data set has '
            f'{len(test.classes)} ({some[1]}, …); expected the same in the same order'
        )
    raise_all(problems, f'{path} does not fit the data:')


def _absent(test: 'Split') -> list[str]:
    """A line on the classes that the test split has no cloud of, where there are such."""
    present = set(test.labels.tolist())
    names = [name for label, name in enumerate(test.classes) if label not in present]
    if not names:
        return []
    return [f'note: no cloud of {", ".join(names)}: means over classes are over the others']


def _other_data(path: str, metadata: Mapping[str, Any], splits: Mapping[str, 'Split']) -> list[str]:
    """How the data differ from those that a run was trained and tested on, in lines."""
    from point_ft_jax.data import likeness
    from point_ft_jax.data.fingerprint import changes, fingerprints

    unlike = likeness.batch_differences(splits['test'].points, metadata)
    notes = [f'note: unlike what {path} was trained on: {text}' for text in unlike]
    before = metadata.get('data', {})
    found = changes(before, fingerprints(splits)) if before else []
    head = f'note: these are not the data of {path}; what is tested here may have been trained on:'
    return [*notes, *([head, *(f'  - {text}' for text in found)] if found else [])]


def _scores(task: str, evaluation: Any, classes: Sequence[str]) -> list[str]:
    """Lines: the headline, and a table by class."""
    from point_ft_jax.reports import finetuning, tables

    section = finetuning.TASKS[task]
    scores = evaluation.scores()
    headline = [
        f'{label[0].lower()}{label[1:].removesuffix(", %")} {100 * scores[name]:.2f} %'
        for name, label in section.SCORES.items()
    ]
    return [*headline, '', tables.text(section.class_rows(evaluation, classes))]
