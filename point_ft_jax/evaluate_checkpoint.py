"""Evaluates a checkpoint on the test split of a data set.

python -m point_ft_jax.evaluate_checkpoint --checkpoint=runs/recon_dapt
    a run of this project, on the data that it was tested on; --config gives other data
python -m point_ft_jax.evaluate_checkpoint --checkpoint=runs/a,runs/b,runs/c
    several runs over one backbone, in one compiled call
python -m point_ft_jax.evaluate_checkpoint --checkpoint=delta --backbone=recon.pth
    a delta over a copy of its backbone
python -m point_ft_jax.evaluate_checkpoint --checkpoint=published.pth \\
    --config=configs/recon_dapt.py:pb_t50_rs --config.data.root=DATA
    a fine-tuned file of the PyTorch world, as the model that the config names
"""

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from point_ft_jax import command_line

CHECKPOINT = flags.DEFINE_list('checkpoint', None, "A run's or a delta's folder, or a .pth file.")
BACKBONE = flags.DEFINE_string('backbone', None, "A .pth or a run with a delta's backbone.")
CONFIG = config_flags.DEFINE_config_file('config', None, 'What run.py takes.', lock_config=True)
BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Clouds at once.', lower_bound=1)


def main(_: list[str]) -> None:
    command_line.start()
    if len(CHECKPOINT.value) > 1:
        print(compared(CHECKPOINT.value, CONFIG.value, BATCH_SIZE.value, BACKBONE.value))
    else:
        print(evaluated(CHECKPOINT.value[0], CONFIG.value, BATCH_SIZE.value, BACKBONE.value))


def compared(
    checkpoints: Sequence[str],
    config: ConfigDict | None,
    batch_size: int,
    backbone: str | None = None,
) -> str:
    """The overall accuracy of several runs over one backbone, evaluated together, as a table.

    Raises:
        UserError: see `saved.load` and `delta.stack`.
    """
    from point_ft_jax import builder, delta, evaluate, params, saved, scores, tables
    from point_ft_jax.mesh import make_mesh

    deltas = [saved.read_delta(path) for path in checkpoints]
    stacked, shared = delta.stack(deltas)
    run = saved.load(checkpoints[0], backbone)
    frozen = params.map_paths(
        lambda path, leaf: None if path in params.flatten(deltas[0].params) else leaf,
        run.variables['params'],
    )
    test = builder.load_splits(config or ConfigDict(run.facts['config']))['test']
    predict = evaluate.make_predict_all(run.model.module, make_mesh(), batch_size, shared)
    logits = predict(stacked, frozen, evaluate.prepare(test.points, run.facts['points']))
    found = [scores.overall_accuracy(evaluate.confusion(one, test.labels)) for one in logits]
    rows = [
        {'checkpoint': path, 'accuracy %': f'{100 * accuracy:.2f}'}
        for path, accuracy in zip(checkpoints, found, strict=True)
    ]
    return f'{len(test)} clouds, {run.facts["points"]} points each\n\n{tables.text(rows)}'


def evaluated(
    checkpoint: str, config: ConfigDict | None, batch_size: int, backbone: str | None = None
) -> str:
    """The accuracies of a checkpoint, overall and by class, as text.

    Raises:
        UserError: a checkpoint or data that can't be read, or that don't fit each other.
    """
    import jax
    import numpy as np

    from point_ft_jax import builder, evaluate, saved, scores, tables, torch_file
    from point_ft_jax.errors import UserError
    from point_ft_jax.mesh import make_mesh

    if pathlib.Path(checkpoint).expanduser().is_dir():
        run = saved.load(checkpoint, backbone)
        config = config or ConfigDict(run.facts['config'])
        model, variables, origin = run.model, run.variables, f'run {checkpoint}'
        num_points, outputs = run.facts['points'], len(run.facts['classes'])
        test = builder.load_splits(config)['test']
    else:
        if config is None:
            raise UserError(f'{checkpoint} is no run: say what model it is with --config=…')
        state, _ = torch_file.state_dict(checkpoint)
        test = builder.load_splits(config)['test']
        outputs = builder.outputs_of(config, state) or len(test.classes)
        model = builder.build_model(config, outputs)
        shapes = model.shapes()
        variables, report = model.load_all(shapes, state, checkpoint)
        origin, num_points = f'{checkpoint}: {report}', config.points
    if outputs < len(test.classes):
        raise UserError(
            f'{checkpoint} tells {outputs} classes apart, and the data has {len(test.classes)}'
        )
    predict = evaluate.make_predict(model.module, make_mesh(), batch_size)
    variables = jax.tree.map(np.asarray, variables)
    logits = predict(variables, evaluate.prepare(test.points, num_points))
    confusion = evaluate.confusion(logits, test.labels)
    rows = [
        {'class': name, 'clouds': int(confusion[i].sum()), 'accuracy %': f'{100 * value:.2f}'}
        for i, (name, value) in enumerate(
            zip(test.classes, scores.per_class_accuracy(confusion), strict=False)
        )
    ]
    return '\n'.join(
        [
            origin,
            f'{len(test)} clouds, {num_points} points each',
            f'overall accuracy {100 * scores.overall_accuracy(confusion):.2f} %',
            f'mean class accuracy {100 * scores.mean_class_accuracy(confusion):.2f} %',
            '',
            tables.text(rows),
        ]
    )


if __name__ == '__main__':
    flags.mark_flag_as_required('checkpoint')
    command_line.run_with_config(main)
