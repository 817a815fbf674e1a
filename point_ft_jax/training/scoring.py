"""The scores of a tuned model on labelled clouds."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.data.split import Split, require_split
from point_ft_jax.evaluation import inference
from point_ft_jax.evaluation.adaptation import make_adapted
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.training.tasks import kinds


def evaluate(
    tuned: TunedModel,
    split: Split,
    *,
    batch_size: int = 32,
    adapt: str | None = None,
    adapt_options: Mapping[str, object] | None = None,
) -> Any:
    """The evaluation of a tuned model on the clouds of a split.

    Args:
        tuned: what `finetune` or `load_run` returned.
        split: labelled clouds with the classes of `tuned`; with part labels for a part segmenter.
        batch_size: clouds at once.
        adapt: how a classifier adapts to the clouds as it answers, without their labels: 'tent',
            'purge_gate' or 'purge_gate_sp'; None for not at all. See `evaluation.adaptation`.
        adapt_options: of the adaptation, such as `{'lr': 1e-3}` or `{'purged': (0, 4)}`;
            of 'purge_gate_sp' `source`, prepared clouds [S, n, 3] that were trained on.

    Returns:
        An `evaluation.metrics.Evaluation`, whose `confusion` is [C, C] with a row for each true
        class, or a `part_metrics.PartEvaluation`. `scores()` gives the numbers by name, as
        fractions in 0..1: 'overall_accuracy' and 'mean_class_accuracy', or 'instance_miou' and
        others.

    Raises:
        UserError: other classes than the model's, no part labels, clouds with NaN or with fewer
            points than the model takes; an unknown adaptation, or one that the model does not fit.

    Examples:
        >>> import jax
        >>> from point_ft_jax import TunedModel, create_model, evaluate, load_dataset
        >>> test = load_dataset('shapes', num_points=64, train_size=15, test_size=15)['test']
        >>> model = create_model('recon', 15, variant='tiny', geometry={'num_groups': 16})
        >>> facts = {'classes': test.classes, 'points': 64}
        >>> tuned = TunedModel(model, model.init(jax.random.key(0)), facts)
        >>> sorted(evaluate(tuned, test).scores())
        ['mean_class_accuracy', 'overall_accuracy']
    """
    require_split(split, 'split')
    check_split(tuned, split)
    split = split.checked(tuned.metadata)
    task = kinds.of_model(tuned.model.spec).task(split, {})
    points, targets = task.prepare(split, tuned.metadata['points'])
    variables, size = jax.tree.map(np.asarray, tuned.variables), min(len(split), batch_size)
    if adapt is None:
        answer = functools.partial(task.answer, tuned.model.module)
        answers = inference.in_batches(answer, make_mesh(), size)(variables, points, targets)
    else:
        if tuned.model.spec.num_parts is not None:
            raise UserError(f'adapt is {adapt!r}, which is for classifiers; this model segments')
        run = make_adapted(adapt, tuned.model.module, make_mesh(), size, adapt_options)
        answers = run(variables, points)
    return task.evaluation(0, task.record(answers, targets))


def check_split(tuned: TunedModel, split: Split) -> None:
    """Raises UserError for a split with other classes than the model's, or without part labels."""
    problems = []
    if tuned.model.spec.num_parts is not None and split.part_labels is None:
        problems.append('the model segments parts, but the data has no part labels')
    if tuned.classes != tuple(split.classes):
        own, other = (', '.join(map(str, list(n)[:4])) for n in (tuned.classes, split.classes))
        problems.append(
            f'the model predicts {len(tuned.classes)} classes ({own}, …), but the data set has '
            f'{len(split.classes)} ({other}, …); expected the same in the same order'
        )
    raise_all(problems, 'the model does not fit the data:')
