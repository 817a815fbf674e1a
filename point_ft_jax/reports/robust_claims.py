"""The claims on robust fine-tuning, each with its evidence, and which method to use when."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.evaluation.paired import Effect, effect
from point_ft_jax.reports.robust_evidence import (
    MEASURES,
    NAMES,
    Comparison,
    Read,
    along,
    clouds_of,
    mean_of,
    methods,
    missed,
    untold,
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim and its evidence.

    Attributes:
        words: the claim.
        expected: 'more' or 'less', the sign of the effect that it foresees.
        pooled: the effect over all sets that can tell.
        by_set: the effect on each of these.
        untold: sets that cannot tell, by the conditions.
    """

    words: str
    expected: str
    pooled: Effect
    by_set: Mapping[str, Effect]
    untold: Sequence[str] = ()

    def line(self) -> str:
        """The claim, its effect and interval in points, and on which sets it is supported."""
        if not self.by_set:
            return f'{self.words}: **no set can tell** ({", ".join(self.untold)})'
        against = 'less' if self.expected == 'more' else 'more'
        lists = [
            f'{word}: {", ".join(names)}'
            for word, verdict in (('supported', self.expected), ('contradicted', against))
            if (names := [n for n, one in self.by_set.items() if one.verdict == verdict])
        ]
        lists += [f'cannot tell: {", ".join(self.untold)}'] if self.untold else []
        verdict = {self.expected: 'supported', against: 'contradicted'}
        word = verdict.get(self.pooled.verdict, 'not supported, the interval holds 0')
        return f'{self.words}: {self.pooled.percent()}, **{word}** ({"; ".join(lists) or "no set"})'


def claims(found: Comparison) -> list[Claim]:
    """The paper's three claims, and two on robustness; pooled over settings."""
    low, high = along(0), along(1)
    middle = along(min(found.alphas, key=lambda a: abs(a - 0.5)))
    at = f'alpha {middle.removeprefix("alpha_")}'
    halfway, halfway_probed = (middle, 'own'), (middle, 'probed')
    tuned, pretrained_probed = (high, 'own'), (low, 'probed')
    make = _Claims(found)
    rows = [
        make.transfer(f'1. Fine-tuning hurts transfer ({label})', measure, high, low, 'less')
        for measure, label in MEASURES.items()
    ]
    rows += [
        make.transfer(
            f'2a. Interpolating ({at}) brings it back ({label})', measure, middle, high, 'more'
        )
        for measure, label in MEASURES.items()
    ]
    rows += [
        make.target(
            f'2b. Interpolating ({at}) alone costs target accuracy', halfway, tuned, 'less'
        ),
        make.target(
            f'3a. Probing at {at} recovers target accuracy', halfway_probed, halfway, 'more'
        ),
        make.target(
            f'3b. Probing at {at} has more than probing the pre-trained backbone',
            halfway_probed,
            pretrained_probed,
            'more',
        ),
        make.target(
            f'3c. Probing at {at} has less than fine-tuning', halfway_probed, tuned, 'less'
        ),
    ]
    if make.has_corrupted:
        probing = f'Corrupted clouds: probing at {at} has more than'
        rows += [
            make.corrupted(f'4a. {probing} fine-tuning', halfway_probed, tuned, 'more'),
            make.corrupted(
                f'4b. {probing} probing the pre-trained backbone',
                halfway_probed,
                pretrained_probed,
                'more',
            ),
        ]
    if make.has_cad:
        shift = 'From CAD to scans:'
        rows += [
            make.shift(f'5a. {shift} fine-tuning on the scans helps', high, low, 'more'),
            make.shift(f'5b. {shift} {at} has more than fine-tuning', middle, high, 'more'),
        ]
    return rows


Headed = tuple[str, str]  # a model and the head that its answers are from


class _Claims:
    """Claims about one comparison, by what they are about.

    Attributes:
        has_corrupted: whether corrupted clouds were measured.
        has_cad: whether an SVM fitted to CAD models was measured on scans.
    """

    def __init__(self, found: Comparison) -> None:
        self._found = found
        names = next(iter(found.scores.values()))[along(1)].keys()
        self.has_corrupted = any(name.startswith('corrupted/') for name in names)
        self.has_cad = 'cad_to_scan' in names

    def transfer(self, words: str, measure: str, new: str, old: str, expected: str) -> Claim:
        """A claim about two models' frozen features, set by set."""
        pairs = {
            name: tuple(
                self._found.stacked(lambda m, w=w, n=name: m[w][f'{measure}/{n}'])
                for w in (new, old)
            )
            for name in self._found.sets
        }
        lost = [name for name in pairs if f'{measure}/{name}' in untold(self._found)]
        told = [pair for name, pair in pairs.items() if name not in lost] or list(pairs.values())
        pooled = effect(*(np.concatenate([p[i] for p in told], axis=1) for i in (0, 1)))
        by_set = {name: effect(*pair) for name, pair in pairs.items() if name not in lost}
        return Claim(words, expected, pooled, by_set, lost)

    def target(self, words: str, new: Headed, old: Headed, expected: str) -> Claim:
        """A claim about the target's clouds under two models' heads, setting by setting."""
        return self._by_head('target', words, new, old, expected)

    def corrupted(self, words: str, new: Headed, old: Headed, expected: str) -> Claim:
        """The same about corrupted clouds, the mean over all corruptions."""
        return self._by_head('corrupted', words, new, old, expected)

    def _by_head(self, score: str, words: str, new: Headed, old: Headed, expected: str) -> Claim:
        def read(m: Mapping, of: Headed) -> np.ndarray:
            return mean_of(m[of[0]], f'{score}/{of[1]}')

        return self._by_setting(words, read, new, old, expected)

    def shift(self, words: str, new: str, old: str, expected: str) -> Claim:
        """A claim about an SVM that was fitted to CAD models, setting by setting."""
        return self._by_setting(words, lambda m, of: m[of]['cad_to_scan'], new, old, expected)

    def _by_setting(self, words: str, read: Read, new: object, old: object, expected: str) -> Claim:
        by_set = {
            setting: effect(read(models, new), read(models, old))
            for setting, models in self._found.scores.items()
        }
        pooled = effect(*(self._found.stacked(lambda m, of=of: read(m, of)) for of in (new, old)))
        return Claim(words, expected, pooled, by_set)


def advice(found: Comparison) -> list[str]:
    """Which method to use when, in plain words, a sentence each, from the scores of this run."""
    lacking = missed(found)
    use = 'the best mean is that of' if lacking else 'use'
    target = _Ranking(found, 'target', 'target')
    features = _Ranking(found, *_told(found), target.level)
    sentences = [
        '**No advice follows from this run, which misses a condition of its own** (below): what '
        'follows are its bare means.'
        if lacking
        else 'This run meets its own conditions.',
        f'If the target alone counts, {use} {target.words()}',
        f'If the features are to serve other data too, {use}, among the methods that are level on '
        f'the target, {features.words()}',
    ]
    if (best := _Ranking(found, *_told(found))).best not in target.level:
        sentences.append(
            f'The best features of all are those of {best.words()} On the target it has '
            f'{target.mean(best.best):.1f} %.'
        )
    make = _Claims(found)
    if make.has_corrupted:
        corrupted = _Ranking(found, 'corrupted/', 'corrupted clouds')
        sentences.append(f'For damaged clouds {use} {corrupted.words()}')
    if make.has_cad:
        shift = _Ranking(found, 'cad_to_scan', 'from CAD to scans')
        sentences.append(
            f'Where CAD models have labels and scans have none, {use} an SVM on the features of '
            f'{shift.words()}'
        )
    sentences += [line for name in ADAPTATIONS if (line := _adaptation(found, name))]
    return sentences


ADAPTATIONS = {
    'tent': 'TENT',
    'purge_gate': 'Purge-Gate without source (PG-SF)',
    'purge_gate_sp': 'Purge-Gate with source statistics (PG-SP)',
}


def _told(found: Comparison) -> tuple[tuple[str, ...], str]:
    """The standardised SVM on the sets that can tell, all if none can; and that in words."""
    lost = untold(found)
    names = [name for name in found.sets if f'svm/{name}' not in lost] or found.sets
    return tuple(f'svm/{name}' for name in names), f'SVM on {", ".join(names)}'


SHOWN = 4  # methods that a sentence names beside the best


class _Ranking:
    """Methods by one score: the best of the means, and what cannot be told apart from it.

    Args:
        found: the comparison.
        score: what the names of the scores begin with, or several of that.
        what: the score in words.
        among: the methods; () for all.
    """

    def __init__(
        self,
        found: Comparison,
        score: str | tuple[str, ...],
        what: str,
        among: tuple[str, ...] = (),
    ) -> None:
        self._what = what
        reads = methods(found)
        values = {
            name: found.stacked(lambda m, read=reads[name]: clouds_of(read(m), score))
            for name in among or reads
        }
        self._means = {name: 100 * float(value.mean()) for name, value in values.items()}
        self.best = max(self._means, key=self._means.get)
        self._gaps = {n: effect(v, values[self.best]) for n, v in values.items() if n != self.best}
        level = [n for n, gap in self._gaps.items() if gap.verdict != 'less']
        self.level = (self.best, *level)

    def mean(self, name: str) -> float:
        """A method's mean, in percent."""
        return self._means[name]

    def words(self) -> str:
        """The best, those that are level with it, and how far fine-tuning is behind."""
        name = NAMES.get(self.best, self.best)
        text = f'**{name}** ({self._what}: {self._means[self.best]:.1f} %)'
        if others := self.level[1:]:
            best = sorted(others, key=self._means.get, reverse=True)
            listed = ', '.join(f'{NAMES.get(n, n)} {self._means[n]:.1f}' for n in best[:SHOWN])
            more = f' and {len(best) - SHOWN} more' if len(best) > SHOWN else ''
            text += f'; not told apart from it are {listed}{more}'
        behind = self._gaps.get('full')
        if behind is not None and 'full' not in self.level:
            text += f'; full fine-tuning has {behind.percent()} points against it'
        return f'{text}.'


def _adaptation(found: Comparison, name: str) -> str:
    """Whether an adaptation at test time helps, over all methods that were adapted."""
    pairs = [
        [
            np.asarray(mean_of(scores, f'adapted/{kind}/corrupted/'), float)
            for kind in (name, 'plain')
        ]
        for read in methods(found).values()
        for models in found.scores.values()
        if (scores := read(models))
        if any(key.startswith(f'adapted/{name}/corrupted/') for key in scores)
    ]
    if not pairs:
        return ''
    new, old = (np.mean([pair[i] for pair in pairs], axis=0) for i in (0, 1))
    gain = effect(new, old)
    verdict = {'more': 'helps', 'less': 'harms', 'open': 'makes no difference that shows'}
    return (
        f'At test time {ADAPTATIONS[name]} {verdict[gain.verdict]} on corrupted clouds: '
        f'{gain.percent()} points, mean over the methods.'
    )
