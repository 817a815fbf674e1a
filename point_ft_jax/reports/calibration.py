"""Whether a classifier is right as often as it is sure: reliability diagram and ECE."""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

from point_ft_jax.reports import figures, intervals
from point_ft_jax.reports.report import Picture, Section

BINS = 10  # of equal width, from 0 to 1


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Test clouds by the probability of their answer, in BINS bins.

    Attributes:
        counts: [BINS] clouds.
        confidence, accuracy: [BINS] means over the clouds of a bin, NaN for an empty one.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al., ICML 2017, equation 3), a fraction.

        The mean distance of confidence and accuracy, weighted by the clouds of a bin.
        """
        known = self.counts > 0
        gaps = np.abs(self.confidence - self.accuracy)[known]
        return float((gaps * self.counts[known]).sum() / max(self.counts.sum(), 1))


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> Reliability:
    """The bins of probabilities [S, C] with labels [S]; the answer is the likeliest class."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(bins, weights=values, minlength=BINS)
        return np.divide(sums, counts, out=np.full(BINS, np.nan), where=counts > 0)

    return Reliability(counts, means(sure), means(right.astype(float)))


def section(probabilities: np.ndarray, labels: np.ndarray) -> Section:
    """The calibration of a model's probabilities [S, C]."""
    found = reliability(probabilities, labels)
    sure = float(probabilities.max(axis=1).mean())
    right = float((probabilities.argmax(axis=1) == labels).mean())
    if abs(sure - right) < 0.01:
        verdict = 'as sure as it is right'
    else:
        verdict = 'surer than it is right' if sure > right else 'less sure than it is right'
    words = (
        f'Expected calibration error (ECE, {BINS} bins): {100 * found.error:.1f} %. On the mean '
        f'the answer has a probability of {100 * sure:.1f} %, and {100 * right:.1f} % are right: '
        f'the model is {verdict}.'
    )
    caption = (
        'Accuracy of the test clouds against the probability of their answer, with 95 % intervals; '
        'on the dashed line a model is as sure as it is right. Below: the clouds of each bin.'
    )
    return Section('Calibration', [words, Picture('calibration', plot(found), caption)])


def plot(found: Reliability) -> Figure:
    """The reliability diagram, and how many clouds each bin has."""
    figure = Figure(figsize=(4.4, 4.6), layout='constrained')
    axes, below = figure.subplots(2, 1, height_ratios=(3.4, 1), sharex=True)
    known = found.counts > 0
    x, y = 100 * found.confidence[known], 100 * found.accuracy[known]
    pairs = zip(found.accuracy[known], found.counts[known], strict=True)
    bounds = 100 * np.array([intervals.wilson(share, int(n)) for share, n in pairs]).reshape(-1, 2)
    axes.plot([0, 100], [0, 100], '--', color=figures.GREY, linewidth=1)
    axes.errorbar(
        x, y, yerr=np.abs(bounds.T - y), fmt='o-', color=figures.BLUE, capsize=2, linewidth=1.2,
        elinewidth=0.8, markersize=4,
    )  # fmt: skip
    axes.set(xlim=(0, 102), ylim=(0, 102), ylabel='accuracy, %')
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(0, 101, 20))
    below.bar((np.arange(BINS) + 0.5) * 100 / BINS, found.counts, width=92 / BINS, color='#9DB8CE')
    below.set(xlabel='probability of the answer, %', ylabel='clouds')
    figures.whole_numbers(below.yaxis)
    for each in (axes, below):
        figures.clear_frame(each)
        each.tick_params(labelsize=8)
    return figure
