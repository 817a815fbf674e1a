"""Test clouds of a classifier's report: confident mistakes, right answers, features in a plane."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from point_ft_jax.reports import clouds, labels
from point_ft_jax.reports.clouds import View
from point_ft_jax.reports.report import Picture, Section

MISTAKES = 12
RIGHT = 36  # at most, over all classes
POINTS = 1024  # of a cloud that is shown, at most
EMBEDDED = 2000  # clouds in a plane, at most
FEWEST = 8  # clouds that a plane needs
COLUMNS = 6
MARKERS = 'osD^vP*X'


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a report shows of the test clouds, of the first seed.

    Attributes:
        probabilities: [S, C].
        labels: [S].
        mistakes: the places of wrongly classified clouds, the most confident first.
        right: the places of rightly classified ones, by class.
        points: place of a cloud -> its points [n, 3]; those of `mistakes` and `right`.
        names: place of a cloud -> its name; none where the data have no names.
        planes: what projects the features -> [E, 2] of the first E clouds of `embedded`.
        embedded: [E] places of the clouds in the planes.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    mistakes: Sequence[int]
    right: Sequence[int]
    points: dict[str, np.ndarray]
    names: dict[str, str]
    planes: dict[str, np.ndarray]
    embedded: np.ndarray


def select(
    points: np.ndarray,
    logits: np.ndarray,
    truth: np.ndarray,
    features: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> Samples:
    """What is shown of test clouds [S, N, 3] with logits [S, C], labels [S], features [S, F]."""
    probabilities = softmax(logits)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(answers != truth)
    mistakes = wrong[np.argsort(-sure[wrong], kind='stable')][:MISTAKES].tolist()
    right = _right(answers, truth, sure, probabilities.shape[1])
    shown = sorted({*mistakes, *right})
    embedded = evenly(len(truth))
    return Samples(
        probabilities=probabilities.astype(np.float32),
        labels=truth.astype(np.int32),
        mistakes=mistakes,
        right=right,
        points={str(i): points[i, :POINTS, :3].astype(np.float32) for i in shown},
        names={str(i): str(names[i]) for i in shown} if names else {},
        planes={} if features is None else project(features[embedded]),
        embedded=embedded,
    )


def of_features(
    answers: np.ndarray, truth: np.ndarray, features: np.ndarray, count: int
) -> Samples:
    """The planes alone, of answers [S] without probabilities and features [S, F]."""
    embedded = evenly(len(truth))
    certain = np.eye(count, dtype=np.float32)[answers]
    return Samples(certain, truth, (), (), {}, {}, project(features[embedded]), embedded)


def evenly(size: int) -> np.ndarray:
    """[E]: the places of as many of `size` clouds as a plane takes."""
    return np.unique(np.linspace(0, size - 1, min(size, EMBEDDED)).astype(int))


def softmax(logits: np.ndarray) -> np.ndarray:
    """[S, C] probabilities, float64."""
    shifted = np.asarray(logits, float) - np.max(logits, axis=1, keepdims=True)
    return np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)


def _right(answers: np.ndarray, truth: np.ndarray, sure: np.ndarray, count: int) -> list[int]:
    """Of each class the right answer of median probability, and the least sure where room is."""
    each = 2 if 2 * count <= RIGHT else 1
    found = []
    for label in range(count):
        here = np.flatnonzero((truth == label) & (answers == label))
        here = here[np.argsort(sure[here], kind='stable')]
        places = dict.fromkeys([len(here) // 2, 0][:each]) if len(here) else ()
        found += [int(here[place]) for place in places]
    return found[: max(RIGHT, count)]


def project(features: np.ndarray) -> dict[str, np.ndarray]:
    """Features [E, F] in a plane, [E, 2] each: by their principal components, and by t-SNE.

    Always the same for the same features. {} where there are too few, or some are not finite.
    """
    if len(features) < FEWEST or not np.isfinite(features).all() or not np.ptp(features, 0).any():
        return {}
    from sklearn.decomposition import PCA  # these take a second to import
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    features = np.asarray(features, np.float64)
    few = PCA(min(50, *features.shape), svd_solver='full').fit_transform(features)
    near = TSNE(perplexity=min(30.0, (len(few) - 1) / 3), init='pca', random_state=0)
    # Its threads wait for each other at every step: on a busy machine that takes 20 times as long.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of what differs between versions of scikit-learn
        found = {'t-SNE': near.fit_transform(few / max(few[:, 0].std(), 1e-12))}
    return {'PCA': few[:, :2] if few.shape[1] > 1 else np.repeat(few, 2, 1), **found}


def sections(classes: Sequence[str], shown: Samples) -> list[Section]:
    """The clouds that are mistaken most confidently, and some that are not."""
    wrong = int((shown.probabilities.argmax(1) != shown.labels).sum())
    found = [Section('Most confident mistakes', [f'All {len(shown.labels):,} clouds are right.'])]
    if wrong:
        caption = (
            f'{len(shown.mistakes)} of {wrong} mistakes among {len(shown.labels):,} test clouds, '
            'the most confident first: the true class, the answer, and its probability.'
        )
        picture = _picture('mistakes', classes, shown, shown.mistakes, caption)
        names = [f'`{shown.names[str(place)]}`' for place in shown.mistakes if shown.names]
        told = [f'Their files, in this order: {", ".join(names)}.'] if names else []
        found = [Section('Most confident mistakes', [picture, *told])]
    if not shown.right:
        return found
    caption = (
        'Of each class a right answer of median probability and, where there is room, the least '
        'sure one.'
    )
    return [
        *found,
        Section('Right answers', [_picture('right', classes, shown, shown.right, caption)]),
    ]


def _picture(
    name: str, classes: Sequence[str], shown: Samples, places: Sequence[int], caption: str
) -> Picture:
    views = [_view(classes, shown, place) for place in places]
    items = [(_line(view, place, shown), [view]) for view, place in zip(views, places, strict=True)]
    return Picture(name, clouds.plot_grid(views, COLUMNS), caption, items)


def _line(view: View, place: int, shown: Samples) -> str:
    """A cloud in one line, for a list to choose from."""
    return f'{shown.names.get(str(place), f"cloud {place}")}: {view.title.replace(chr(10), ", ")}'


def _view(classes: Sequence[str], shown: Samples, place: int) -> View:
    row, label = shown.probabilities[place], shown.labels[place]
    answer = int(row.argmax())
    if answer == label:
        title = f'{classes[label]}\n{100 * row[answer]:.1f} %'
    else:
        title = f'truth: {classes[label]}\nanswer: {classes[answer]}, {100 * row[answer]:.1f} %'
    return View(title, shown.points[str(place)])


def feature_sections(classes: Sequence[str], shown: Samples) -> list[Section]:
    """The features of the test clouds in a plane, by class."""
    if not shown.planes:
        return []
    caption = (
        'What the head sees of the test clouds, by their first two principal components and by '
        't-SNE: a dot a cloud, coloured by its true class, named at the middle of the class; '
        'clouds that are classified wrongly have a dark edge.'
    )
    return [Section('Features', [Picture('features', plot_planes(classes, shown), caption)])]


def plot_planes(classes: Sequence[str], shown: Samples) -> Figure:
    """A panel a projection."""
    figure = Figure(figsize=(5.2 * len(shown.planes), 5.0), layout='constrained')
    grid = figure.subplots(1, len(shown.planes), squeeze=False)[0]
    truth = shown.labels[shown.embedded]
    wrong = shown.probabilities[shown.embedded].argmax(1) != truth
    for axes, (name, places) in zip(grid, shown.planes.items(), strict=True):
        for label in np.unique(truth):
            _dots(axes, places[truth == label], int(label), wrong[truth == label])
        axes.set_title(name, fontsize=10, loc='left')
        axes.set(xticks=[], yticks=[])
        axes.margins(0.12)
        axes.spines[:].set_color('#CCCCCC')
    for axes, places in zip(grid, shown.planes.values(), strict=True):
        present = np.unique(truth)
        middles = np.array([np.median(places[truth == label], axis=0) for label in present])
        size = 8 if len(present) <= 20 else 6.5
        names = [classes[label] for label in present]
        labels.place(axes, *middles.T, names, size, halo=True)
    return figure


def _dots(axes: Axes, places: np.ndarray, label: int, wrong: np.ndarray) -> None:
    style = {
        'color': clouds.colour_of(label),
        'marker': MARKERS[label // len(clouds.PALETTE) % len(MARKERS)],
        's': 16,
    }
    axes.scatter(*places[~wrong].T, linewidths=0, alpha=0.75, **style)
    axes.scatter(*places[wrong].T, linewidths=1.0, edgecolors='#111111', **style)
