"""Predictions and features of clouds given as arrays."""

import jax
import numpy as np
from numpy.typing import ArrayLike  # quoted in signatures: help() then shows its name

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import likeness, sampling
from point_ft_jax.data.checks import check_clouds
from point_ft_jax.evaluation import inference
from point_ft_jax.models.tuned import TunedModel


def predict(
    tuned: TunedModel,
    points: 'ArrayLike',
    *,
    categories: 'ArrayLike | None' = None,
    batch_size: int = 32,
    few: str = 'refuse',
) -> np.ndarray:
    """Class probabilities [S, C] of clouds; of a part segmenter part probabilities [S, N, P].

    A classifier sees the farthest `tuned.metadata['points']` points of each cloud. A segmenter sees
    and labels them all. Clouds of another scale or number of points than the training's are warned
    of.

    Args:
        tuned: what `finetune` or `load_run` returned.
        points: [S, N, 3], S clouds of N points, in the units and the orientation of the training
            clouds.
        categories: [S] integers, the category of each cloud, for a part segmenter.
        batch_size: clouds at once.
        few: 'refuse' clouds of fewer points than a classifier takes, or 'repeat' their points, with
            a warning, as `point-ft predict` does.

    Returns:
        float32 in 0..1, in the order of `tuned.classes` (of `tuned.metadata['part_names']`); each
        row sums to 1.

    Raises:
        UserError: points of another shape, NaN or infinite values, clouds without extent, fewer
            points than the model takes, or categories that are missing or out of range.

    Examples:
        >>> import numpy as np
        >>> import jax
        >>> from point_ft_jax import TunedModel, create_model, predict
        >>> model = create_model('recon', 2, variant='tiny', geometry={'num_groups': 16})
        >>> facts = {'classes': ['chair', 'table'], 'points': 64}
        >>> tuned = TunedModel(model, model.init(jax.random.key(0)), facts)
        >>> clouds = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 64, 3))
        >>> predict(tuned, clouds).shape
        (3, 2)
    """
    classifies = tuned.model.spec.num_parts is None
    clouds = _checked(tuned, points, few if classifies else None)
    module = tuned.model.module
    if classifies:
        if categories is not None:
            raise UserError('categories are for part segmenters, and this model is a classifier')
        run = inference.make_predict(module, make_mesh(), min(len(clouds), batch_size))
        logits = run(tuned.variables, inference.prepare(clouds, tuned.metadata['points']))
    else:
        labels = _categories(categories, len(clouds), len(tuned.classes))
        run = inference.in_batches(module.apply, make_mesh(), min(len(clouds), batch_size))
        logits = run(tuned.variables, clouds, labels)
    return np.asarray(jax.nn.softmax(logits))


def features(
    tuned: TunedModel, points: 'ArrayLike', *, batch_size: int = 32, few: str = 'refuse'
) -> np.ndarray:
    """The features [S, F] that the head of a classifier reads, float32.

    Args:
        tuned: what `finetune` or `load_run` returned; a backbone alone is
            `TunedModel(model, variables, {'classes': …, 'points': 1024})`, with the variables of
            `load_pretrained`.
        points: [S, N, 3] clouds, as in `predict`.
        batch_size: clouds at once.
        few: what to do with clouds of few points, as in `predict`.

    Raises:
        UserError: clouds as in `predict`, or a part segmenter.

    Examples:
        >>> import numpy as np
        >>> import jax
        >>> from point_ft_jax import TunedModel, create_model, features
        >>> model = create_model('recon', 2, variant='tiny', geometry={'num_groups': 16})
        >>> facts = {'classes': ['chair', 'table'], 'points': 64}
        >>> tuned = TunedModel(model, model.init(jax.random.key(0)), facts)
        >>> features(tuned, np.random.default_rng(0).uniform(-0.5, 0.5, (3, 64, 3))).shape
        (3, 384)
    """
    if tuned.model.spec.num_parts is not None:
        raise UserError('a part segmenter has features for each point; expected a classifier')
    clouds = _checked(tuned, points, few)
    size = min(len(clouds), batch_size)
    run = inference.make_predict(tuned.model.module, make_mesh(), size, method='features')
    return run(tuned.variables, inference.prepare(clouds, tuned.metadata['points']))


def _checked(tuned: TunedModel, points: 'ArrayLike', few: str | None) -> np.ndarray:
    """The clouds, sound and of enough points; None for `few` where any number will do."""
    clouds = check_clouds(points, tuned.metadata.get('channels', ()))
    if few is not None:
        clouds = sampling.enough(clouds, tuned.metadata['points'], few)
    likeness.warn_of_differences(clouds, tuned.metadata)
    return clouds


def _categories(given: 'ArrayLike | None', size: int, count: int) -> np.ndarray:
    if given is None:
        raise UserError('a part segmenter needs the category of each cloud: give categories=[…]')
    labels = np.asarray(given)
    if labels.shape != (size,) or labels.dtype.kind not in 'iu':
        raise UserError(
            f'categories are {labels.dtype} of shape {labels.shape}; expected {size} integers'
        )
    if size and not 0 <= labels.min() <= labels.max() < count:
        raise UserError(
            f'categories lie in {labels.min()}..{labels.max()}; expected 0..{count - 1}'
        )
    return labels.astype(np.int32)
