"""What the robust experiment has found, and what speaks for it: conditions, claims, methods."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from point_ft_jax.evaluation.paired import Effect, effect

Scores = Mapping[str, np.ndarray]
MEASURES = {
    'svm': 'SVM, standardised',
    'svm_raw': 'SVM, raw',
    'neighbours': '5 nearest',
    'few_shot': 'few shots',
}
NAMES = {
    **{'lp': 'LP', 'full': 'full', 'wise': 'WiSE-FT', 'wise_lp': 'WiSE-FT-LP', 'lp_ft': 'LP-FT'},
    **{'dapt': 'DAPT', 'lora': 'LoRA', 'ema': 'EMA', 'l2_sp': 'L2-SP', 'lines': 'LiNeS'},
    **{'mono_soup': 'MonoSoup', 'model_stock': 'Model Stock', 'soup': 'uniform soup'},
    'greedy_soup': 'greedy soup',
}


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
    """

    name: str
    command: str
    protocol: Mapping[str, str]
    alphas: Sequence[float]
    scores: Mapping[str, Mapping[str, Scores]]
    distances: Mapping[str, Sequence[Mapping[str, float]]]
    limits: Mapping[str, float]

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
    """Whether something holds without which the curves mean nothing."""

    what: str
    found: str
    asked: str
    met: bool


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
    for name in found.sets:
        start = found.stacked(lambda m, n=name: m[low][f'svm/{n}'])
        floor = found.stacked(lambda m, n=name: m['random'][f'svm/{n}'])
        above = effect(start, floor)
        asked = 100 * limits['above_random']
        rows += [
            Condition(
                f'{name}: SVM of the pre-trained less that of random weights '
                f'({100 * floor.mean():.1f}), points',
                above.percent(),
                f'{asked:.0f} or more',
                100 * above.mean >= asked,
            ),
            Condition(
                f'{name}: SVM of the pre-trained, %',
                f'{100 * start.mean():.1f}',
                f'at most {100 * limits["ceiling"]:.0f}',
                bool(start.mean() <= limits['ceiling']),
            ),
        ]
    return rows


def _at_least(what: str, value: float, least: float, form: str = '{:.1f}') -> Condition:
    return Condition(
        what, form.format(value), f'{form.format(least)} or more', bool(value >= least)
    )


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim and what speaks for it.

    Attributes:
        words: the claim.
        expected: 'more' or 'less', the sign of the effect that it foresees.
        pooled: the effect over all sets, if there are several.
        by_set: the effect on every set.
    """

    words: str
    expected: str
    pooled: Effect
    by_set: Mapping[str, Effect]

    def line(self) -> str:
        """The claim, its effect and interval in points, and on which sets it is supported."""
        against = 'less' if self.expected == 'more' else 'more'
        lists = [
            f'{word}: {", ".join(names)}'
            for word, verdict in (('supported', self.expected), ('contradicted', against))
            if (names := [n for n, one in self.by_set.items() if one.verdict == verdict])
        ]
        verdict = {self.expected: 'supported', against: 'contradicted'}
        word = verdict.get(self.pooled.verdict, 'not supported, the interval holds 0')
        return f'{self.words}: {self.pooled.percent()}, **{word}** ({"; ".join(lists) or "no set"})'


def claims(found: Comparison) -> list[Claim]:
    """The paper's three claims, and what probing alone would do; pooled over settings."""
    low, high = along(0), along(1)
    middle = along(min(found.alphas, key=lambda a: abs(a - 0.5)))
    alpha = middle.removeprefix('alpha_')

    def transfer(words: str, new: str, old: str, expected: str, measure: str) -> Claim:
        pairs = {
            name: tuple(
                found.stacked(lambda m, w=w, n=name: m[w][f'{measure}/{n}']) for w in (new, old)
            )
            for name in found.sets
        }
        pooled = effect(*(np.concatenate([p[i] for p in pairs.values()], axis=1) for i in (0, 1)))
        return Claim(words, expected, pooled, {n: effect(*p) for n, p in pairs.items()})

    def target(words: str, new: tuple[str, str], old: tuple[str, str], expected: str) -> Claim:
        def read(m: Mapping[str, Scores], of: tuple[str, str]) -> np.ndarray:
            return m[of[0]][f'target/{of[1]}']

        by_set = {s: effect(read(m, new), read(m, old)) for s, m in found.scores.items()}
        pooled = effect(*(found.stacked(lambda m, of=of: read(m, of)) for of in (new, old)))
        return Claim(words, expected, pooled, by_set)

    return [
        *(
            transfer(f'1. Fine-tuning hurts transfer ({MEASURES[k]})', high, low, 'less', k)
            for k in MEASURES
        ),
        transfer(
            f'2a. Interpolating (alpha {alpha}) brings it back (SVM)', middle, high, 'more', 'svm'
        ),
        target(
            f'2b. Interpolating (alpha {alpha}) alone costs target accuracy',
            *((middle, 'own'), (high, 'own'), 'less'),
        ),
        target(
            f'3a. Probing at alpha {alpha} recovers target accuracy',
            *((middle, 'probed'), (middle, 'own'), 'more'),
        ),
        target(
            f'3b. Probing at alpha {alpha} has more than probing the pre-trained backbone',
            *((middle, 'probed'), (low, 'probed'), 'more'),
        ),
        target(
            f'3c. Probing at alpha {alpha} has less than fine-tuning',
            *((middle, 'probed'), (high, 'own'), 'less'),
        ),
    ]


Row = tuple[str, Callable[[Mapping[str, Scores], str], np.ndarray]]


def methods(found: Comparison) -> dict[str, Callable[[Mapping[str, Scores]], Scores]]:
    """Every method of the table: from a setting's models to its scores, the head's named plainly.

    LP is the probed head on the pre-trained backbone; WiSE-FT's alphas are those that held-out
    clouds choose, seed by seed.
    """
    models = list(next(iter(found.scores.values())))
    fixed = [n for n in models if n != 'random' and not n.startswith('alpha_')]

    def one(model: str, head: str) -> Callable[[Mapping[str, Scores]], Scores]:
        return lambda m: _of_head(m[model], head)

    def chosen(head: str) -> Callable[[Mapping[str, Scores]], Scores]:
        def read(m: Mapping[str, Scores]) -> Scores:
            every = [_of_head(m[along(a)], head) for a in found.alphas]
            best = best_alphas(found, m, head)
            return {k: np.stack([every[b][k][i] for i, b in enumerate(best)]) for k in every[0]}

        return read

    return {
        'lp': one(along(0), 'probed'),
        'full': one(along(1), 'own'),
        'wise': chosen('own'),
        'wise_lp': chosen('probed'),
        **{name: one(name, 'own') for name in fixed},
    }


def best_alphas(found: Comparison, models: Mapping[str, Scores], head: str) -> list[int]:
    """[seeds], the place of the alpha that held-out clouds choose; of equals the smallest."""
    curve = np.stack([models[along(a)][f'validation/{head}'].mean(-1) for a in found.alphas])
    return curve.argmax(axis=0).tolist()


def _of_head(scores: Scores, head: str) -> Scores:
    """The scores under one head, which is left out of their names, and those of the features."""
    other = {'own': 'probed', 'probed': 'own'}[head]
    return {
        '/'.join(part for part in name.split('/') if part != head): value
        for name, value in scores.items()
        if other not in name.split('/')
    }
