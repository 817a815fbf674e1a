"""How sure a score is: 95 % intervals of shares and of means."""

from collections.abc import Sequence

import numpy as np

Z = 1.959964  # of the normal distribution: 95 % lie within
RESAMPLES = 2000


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share in 0..1 that `trials` independent trials gave.

    Unlike the share plus and minus two deviations it stays in 0..1, and has a width where all
    trials gave the same (E. B. Wilson, JASA 1927). (nan, nan) without trials.
    """
    if not trials or np.isnan(share):
        return float('nan'), float('nan')
    middle = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    variance = share * (1 - share) / trials + Z**2 / (4 * trials**2)
    half = Z * np.sqrt(variance) / (1 + Z**2 / trials)
    # By rounding a share of 1 can lie above what should end at it.
    return min(max(float(middle - half), 0.0), share), max(min(float(middle + half), 1.0), share)


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of values, from 2,000 resamples, always the same.

    (nan, nan) without values.
    """
    values = np.asarray(values, float)
    if not len(values):
        return float('nan'), float('nan')
    r = np.random.default_rng(0)
    means = [values[r.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def paired(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """The mean of `second - first` [S], and its 95 % interval from 2,000 resamples of the pairs.

    Two models that were tested on the same clouds are compared cloud by cloud: most of what makes
    each of their scores uncertain is the same for both.
    """
    difference = np.asarray(second, float) - np.asarray(first, float)
    return float(difference.mean()), *bootstrap(difference)


def percent(low: float, high: float) -> str:
    """Fractions as '85.3 to 92.4'; '' where they are not known."""
    return '' if np.isnan(low) else f'{100 * low:.1f} to {100 * high:.1f}'
