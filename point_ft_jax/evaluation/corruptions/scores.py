"""Scores of corrupted test sets: mCE and RmCE of ModelNet-C, the mean error of ModelNet40-C."""

from collections.abc import Mapping

import numpy as np

from point_ft_jax.core.errors import raise_all

# DGCNN's overall accuracies on ModelNet-C, clean and by corruption: the published reference.
DGCNN_CLEAN = 0.926
DGCNN = {
    'scale': 0.906,
    'jitter': 0.684,
    'rotate': 0.785,
    'dropout_global': 0.752,
    'dropout_local': 0.793,
    'add_global': 0.705,
    'add_local': 0.725,
}


def corruption_errors(
    clean: float, accuracies: Mapping[str, Mapping[int, float]]
) -> dict[str, float]:
    """'mCE', 'RmCE' and 'mOA' of ModelNet-C (arXiv 2202.03377), rounded as its code does.

    A corruption's accuracy is the mean over its severities, to three decimals; CE divides its error
    by DGCNN's, RCE the accuracy lost by what DGCNN loses; each is averaged over the seven. Below 1
    is better than DGCNN. Meant for ModelNet40's test split alone, since the reference is of it.

    Args:
        clean: overall accuracy on the clean test set, a fraction.
        accuracies: corruption -> severity -> overall accuracy; all seven.

    Raises:
        UserError: a corruption that is missing or unknown, or accuracies that are no fractions.
    """
    problems = [f'{name} is missing' for name in DGCNN if not accuracies.get(name)]
    problems += [f'{name} is none of ModelNet-C' for name in accuracies if name not in DGCNN]
    values = {'clean': clean}
    values |= {f'{n}, {s}': v for n, levels in accuracies.items() for s, v in levels.items()}
    problems += [
        f'{name} is {value}; expected an accuracy in 0..1'
        for name, value in values.items()
        if not 0 <= value <= 1
    ]
    raise_all(problems, 'mCE is of the seven corruptions of ModelNet-C:')
    mean = {name: round(float(np.mean(list(accuracies[name].values()))), 3) for name in DGCNN}
    ce = [(1 - mean[name]) / (1 - DGCNN[name]) for name in DGCNN]
    rce = [(clean - mean[name]) / (DGCNN_CLEAN - DGCNN[name]) for name in DGCNN]
    return {
        'mCE': round(float(np.mean(ce)), 3),
        'RmCE': round(float(np.mean(rce)), 3),
        'mOA': round(float(np.mean(list(mean.values()))), 3),
    }


def mean_error(accuracies: Mapping[str, Mapping[int, float]]) -> float:
    """The mean error rate over all corruptions and severities alike, as ModelNet40-C has it."""
    return float(np.mean([1 - v for levels in accuracies.values() for v in levels.values()]))
