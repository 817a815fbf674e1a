"""Evaluates a checkpoint on the test split of a data set.

python -m point_ft_jax.evaluate_checkpoint --checkpoint=runs/recon_dapt
    a run of this project, on the data that it was tested on; --config gives other data
python -m point_ft_jax.evaluate_checkpoint --checkpoint=published.pth \\
    --config=configs/recon_dapt.py:pb_t50_rs --config.data.root=DATA
    a fine-tuned file of the PyTorch world, as the model that the config names
"""

import pathlib

from absl import flags
from ml_collections import ConfigDict, config_flags

from point_ft_jax import command_line

CHECKPOINT = flags.DEFINE_string('checkpoint', None, "A run's folder, or a .pth file.")
CONFIG = config_flags.DEFINE_config_file('config', None, 'What run.py takes.', lock_config=True)
BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Clouds at once.', lower_bound=1)


def main(_: list[str]) -> None:
    command_line.start()
    print(evaluated(CHECKPOINT.value, CONFIG.value, BATCH_SIZE.value))


def evaluated(checkpoint: str, config: ConfigDict | None, batch_size: int) -> str:
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
        run = saved.load(checkpoint)
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
