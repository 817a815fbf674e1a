"""Paired differences between two models on the same clouds, with 95 % intervals.

Several fine-tuned models (seeds, settings) are measured on the same clouds (or few-shot folds), and
both are a sample of what there could be: the interval is for new models on new clouds.
"""

import dataclasses

import numpy as np
from scipy import stats

from point_ft_jax.core.errors import UserError

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Effect:
    """A mean difference and its interval, in the unit of what was compared.

    Attributes:
        mean: of the differences.
        low, high: the ends of the 95 % interval.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """'more', 'less', or 'open' where the interval holds 0."""
        return 'more' if self.low > 0 else 'less' if self.high < 0 else 'open'

    def percent(self) -> str:
        """Of fractions: '-2.31 [-3.90, -0.72]' in points."""
        return f'{100 * self.mean:+.2f} [{100 * self.low:+.2f}, {100 * self.high:+.2f}]'


def effect(new: np.ndarray, old: np.ndarray) -> Effect:
    """The mean of `new - old` with its 95 % interval.

    Models and clouds are two crossed samples: the variance of the mean is taken as that of the
    models' means over M plus that of the clouds' means over S, which counts what is left of both
    twice and so errs to the wide side. Student's quantile has Satterthwaite's degrees of freedom.
    With one model the interval is for that model on new clouds.

    Args:
        new, old: [M, S], what each of M models gave on each of S clouds: right or wrong, or the
            accuracy of a fold.

    Raises:
        UserError: other shapes than these, or fewer than two clouds.

    >>> effect(np.array([[1, 1, 1, 0]]), np.array([[1, 1, 1, 0]])).percent()
    '+0.00 [+0.00, +0.00]'
    """
    new, old = np.asarray(new, float), np.asarray(old, float)
    if new.shape != old.shape or new.ndim != 2 or new.shape[1] < 2:
        raise UserError(
            f'paired are {list(new.shape)} and {list(old.shape)}; expected the same [models, '
            'clouds], two clouds or more'
        )
    difference = new - old
    parts = [
        (difference.mean(axis=1 - axis).var(ddof=1) / size, size - 1)
        for axis, size in enumerate(difference.shape)
        if size > 1
    ]
    variance = sum(v for v, _ in parts)
    mean = float(difference.mean())
    if not variance:
        return Effect(mean, mean, mean)
    freedom = variance**2 / sum(v**2 / dof for v, dof in parts)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) * np.sqrt(variance))
    return Effect(mean, mean - reach, mean + reach)
