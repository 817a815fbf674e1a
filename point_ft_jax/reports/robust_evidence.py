"""What the robust experiment has found: its scores, its methods, its own conditions."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.evaluation.paired import effect

Scores = Mapping[str, np.ndarray]
MEASURES = {
    'svm': 'SVM, standardised',
    'svm_raw': 'SVM, raw',
    'neighbours': 'nearest neighbours',
    'few_shot': 'few shots',
}
NAMES = {
    **{
        'lp': 'LP',
        'full': 'full fine-tuning',
        'wise': 'WiSE-FT',
        'wise_lp': 'WiSE-FT-LP',
        'lp_ft': 'LP-FT',
    },
    **{'dapt': 'DAPT', 'lora': 'LoRA', 'ema': 'EMA', 'l2_sp': 'L2-SP', 'layerwise': 'layer-wise'},
    **{'lines': 'LiNeS', 'mono_soup': 'MonoSoup', 'soup': 'uniform soup'},
    **{'greedy_soup': 'greedy soup', 'model_stock': 'Model Stock', 'ties': 'TIES', 'dare': 'DARE'},
}
ADAPTED = 'adapted_'  # what the name of a model after adaptation begins with


Read = Callable[[Mapping[str, Scores], object], np.ndarray]


def mean_of(scores: Scores, start: str) -> np.ndarray:
    """[seeds, S], the mean over all scores whose names begin so; those of one length."""
    return np.mean([v for k, v in scores.items() if k.startswith(start)], axis=0, dtype=float)


def clouds_of(scores: Scores, start: str | tuple[str, ...]) -> np.ndarray:
    """[seeds, S]: what a model has on the clouds of all scores whose names begin so.

    `start` is one beginning or several. Corrupted clouds are the same ones again and again: theirs
    is the mean over corruptions. Other scores are of clouds of their own, side by side.
    """
    if start == 'corrupted/':
        return mean_of(scores, start)
    return np.concatenate([v for k, v in scores.items() if k.startswith(start)], axis=1)


def along(alpha: float) -> str:
    """The name of WiSE-FT's model at an alpha."""
    return f'alpha_{alpha:g}'


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All that a report is written from.

    Attributes:
        name, command: of the run.
        protocol: what the numbers mean, in words.
        alphas: of WiSE-FT's models.
        scores: setting -> model -> score -> [seeds, clouds or folds]; see the job's `Scorer`.
        distances: setting -> one {block: relative distance} a seed.
        limits: what the conditions ask for: 'train_accuracy', 'moved', 'above_random' and
            'ceiling', fractions; 'seeds' and 'clouds', numbers.
        statistics: of batch norms along the path; the first is that of all scores but those that
            compare the choices.
        taken: paths that the pre-trained file lacks, fine-tuned at every alpha.
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    alphas: Sequence[float]
    scores: Mapping[str, Mapping[str, Scores]]
    distances: Mapping[str, Sequence[Mapping[str, float]]]
    limits: Mapping[str, float]
    statistics: Sequence[str] = ('reestimated',)
    taken: Sequence[str] = ()

    @property
    def sets(self) -> list[str]:
        """The transfer sets."""
        first = next(iter(self.scores.values()))['random']
        return [name.removeprefix('svm/') for name in first if name.startswith('svm/')]

    def stacked(self, read: Callable[[Mapping[str, Scores]], np.ndarray]) -> np.ndarray:
        """[settings x seeds, S]: `read` of the models of every setting."""
        return np.concatenate([np.asarray(read(m), float) for m in self.scores.values()])


@dataclasses.dataclass(frozen=True)
class Condition:
    """Whether something holds without which curves mean nothing.

    Attributes:
        what, found, asked: in words.
        met: whether it holds.
        score: 'MEASURE/SET' that it is about; '' if it is about all curves.
    """

    what: str
    found: str
    asked: str
    met: bool
    score: str = ''


def conditions(found: Comparison) -> list[Condition]:
    """Everything that has to hold before a curve can mean anything."""
    low, high, limits = along(0), along(1), found.limits
    learned = found.stacked(lambda m: m[high]['train/own']).mean()
    gain = effect(
        found.stacked(lambda m: m[high]['target/own']),
        found.stacked(lambda m: m[low]['target/probed']),
    )
    blocks = [
        value
        for seeds in found.distances.values()
        for seed in seeds
        for name, value in seed.items()
        if name.split('/')[-1].startswith('block_')  # a token's own norm is next to nothing
    ]
    moved = float(np.mean(blocks))
    seeds, clouds = next(iter(found.scores.values()))[high]['target/own'].shape
    rows = [
        _at_least('seeds', seeds, limits['seeds'], '{:.0f}'),
        _at_least('target test clouds', clouds, limits['clouds'], '{:.0f}'),
        _at_least(
            'training accuracy of fine-tuning', 100 * learned, 100 * limits['train_accuracy']
        ),
        Condition(
            'target accuracy of fine-tuning less that of probing at alpha 0, points',
            gain.percent(),
            'an interval above 0',
            gain.verdict == 'more',
        ),
        _at_least('how far a block moved, % of its norm, mean', 100 * moved, 100 * limits['moved']),
    ]
    return [*rows, *(_tells(found, name, measure) for name in found.sets for measure in MEASURES)]


def _tells(found: Comparison, name: str, measure: str) -> Condition:
    """Whether a transfer score can fall: far enough above random weights, and below the ceiling."""
    score, limits = f'{measure}/{name}', found.limits
    start = found.stacked(lambda m: m[along(0)][score])
    floor = found.stacked(lambda m: m['random'][score])
    above = effect(start, floor)
    room = bool(start.mean() <= limits['ceiling'])
    return Condition(
        f'{name}, {MEASURES[measure]}: pre-trained, and its lead over random weights',
        f'{100 * start.mean():.1f} %; {above.percent()}',
        f'{100 * limits["ceiling"]:.0f} or less; {100 * limits["above_random"]:.0f} or more',
        room and above.mean >= limits['above_random'],
        score,
    )


def untold(found: Comparison) -> list[str]:
    """The transfer scores 'MEASURE/SET' that miss their own condition."""
    return [c.score for c in conditions(found) if c.score and not c.met]


def missed(found: Comparison) -> list[Condition]:
    """The conditions without which no curve means anything, of those that are missed.

    One is that there is a transfer set whose standardised SVM can tell.
    """
    general = [c for c in conditions(found) if not (c.met or c.score)]
    if all(f'svm/{name}' in untold(found) for name in found.sets):
        what = 'a transfer set on which the standardised SVM can fall'
        general.append(Condition(what, 'none', 'one or more', False))
    return general


def _at_least(what: str, value: float, least: float, form: str = '{:.1f}') -> Condition:
    return Condition(
        what, form.format(value), f'{form.format(least)} or more', bool(value >= least)
    )


def methods(found: Comparison) -> dict[str, Callable[[Mapping[str, Scores]], Scores]]:
    """Every method of the table: from a setting's models to its scores, the head's named plainly.

    LP is the probed head on the pre-trained backbone; WiSE-FT's alphas are those that held-out
    clouds choose, seed by seed. Where a method was adapted at test time, these scores are there.
    """
    models = list(next(iter(found.scores.values())))
    fixed = [n for n in models if n != 'random' and not n.startswith(('alpha_', ADAPTED))]
    fixed.sort(key=lambda n: list(NAMES).index(n) if n in NAMES else len(NAMES))

    def one(model: str, head: str) -> Callable[[Mapping[str, Scores]], Scores]:
        return lambda m: of_head(m[model], head)

    def chosen(head: str) -> Callable[[Mapping[str, Scores]], Scores]:
        def read(m: Mapping[str, Scores]) -> Scores:
            every = [of_head(m[along(a)], head) for a in found.alphas]
            best = best_alphas(found, m, head)
            return {k: np.stack([every[b][k][i] for i, b in enumerate(best)]) for k in every[0]}

        return read

    plain = {
        'lp': one(along(0), 'probed'),
        'full': one(along(1), 'own'),
        'wise': chosen('own'),
        'wise_lp': chosen('probed'),
        **{name: one(name, 'own') for name in fixed},
    }
    return {
        name: lambda m, name=name, read=read: {**read(m), **m.get(f'{ADAPTED}{name}', {})}
        for name, read in plain.items()
    }


def best_alphas(found: Comparison, models: Mapping[str, Scores], head: str) -> list[int]:
    """[seeds], the place of the alpha that held-out clouds choose; of equals the smallest."""
    curve = np.stack([models[along(a)][f'validation/{head}'].mean(-1) for a in found.alphas])
    return curve.argmax(axis=0).tolist()


def of_head(scores: Scores, head: str) -> dict[str, np.ndarray]:
    """The scores under one head, which is left out of their names, and those of the features."""
    other = {'own': 'probed', 'probed': 'own'}[head]
    return {
        '/'.join(part for part in name.split('/') if part != head): value
        for name, value in scores.items()
        if other not in name.split('/')
    }


def statistics_scores(found: Comparison, one: Scores, choice: str) -> np.ndarray:
    """[seeds, S] of a model along the path: its target answers under a choice of statistics."""
    return one['target/own' if choice == found.statistics[0] else f'statistics/{choice}']
