"""The report of the robust experiment, on made-up scores."""

import numpy as np
import pytest

from configs import robust
from point_ft_jax.reports.robust import make_report
from point_ft_jax.reports.robust_claims import advice, claims
from point_ft_jax.reports.robust_evidence import (
    Comparison,
    best_alphas,
    conditions,
    methods,
    missed,
    untold,
)


def comparison(transfer: float = 0.6, target: float = 0.9, moved: float = 0.2) -> Comparison:
    """Made-up scores: fine-tuning has `target` on the target and `transfer` on the one set."""
    rng = np.random.default_rng(0)

    def right(share: float, size: int = 800) -> np.ndarray:
        return rng.permuted(np.arange(size) < share * size * np.ones((3, 1)), axis=1)

    def model(own: float, probed: float, features: float) -> dict[str, np.ndarray]:
        heads = {'own': own, 'probed': probed}
        found = {f'{s}/{h}': right(v) for h, v in heads.items() for s in ('target', 'validation')}
        found['train/own'] = right(0.99)
        found |= {f'corrupted/{h}/jitter_3': right(v) for h, v in heads.items()}
        found['cad_to_scan'] = right(features)
        found |= {f'{m}/far': right(features) for m in ('svm', 'svm_raw', 'neighbours')}
        return {**found, 'few_shot/far': np.full((3, 10), features)}

    models = {
        'alpha_0': model(0.2, 0.7, 0.8),
        'alpha_0.5': model(0.5, 0.85, 0.75),
        'alpha_1': model(target, target, transfer),
        'lora': {k: v for k, v in model(0.8, 0.8, 0.78).items() if 'probed' not in k},
        'random': {k: v for k, v in model(0, 0, 0.5).items() if k.endswith('far')},
    }
    return Comparison(
        name='made up',
        command='',
        protocol={},
        alphas=(0.0, 0.5, 1.0),
        scores={'obj_only': models},
        distances={'obj_only': [{'block_0': moved}] * 3},
        limits=robust.get_config().robust.limits.to_dict(),
    )


def test_claims_are_supported_or_not_by_the_interval_of_the_paired_difference() -> None:
    first = next(c for c in claims(comparison()) if 'standardised' in c.words)
    assert first.pooled.mean == pytest.approx(-0.2)
    assert '**supported** (supported: far)' in first.line()
    same = next(c for c in claims(comparison(transfer=0.8)) if 'standardised' in c.words)
    assert 'not supported, the interval holds 0' in same.line()
    better = next(c for c in claims(comparison(transfer=0.95)) if 'standardised' in c.words)
    assert '**contradicted** (contradicted: far)' in better.line()


def test_an_experiment_that_cannot_tell_says_so() -> None:
    assert all(condition.met for condition in conditions(comparison()))
    lacking = [c.what for c in missed(comparison(target=0.6, moved=0.01))]
    assert [words.split()[0] for words in lacking] == ['target', 'how']


def test_what_to_use_is_said_in_words_with_what_cannot_be_told_apart() -> None:
    words = ' '.join(advice(comparison()))
    assert 'If the target alone counts, use **full fine-tuning** (target: 90.0 %)' in words
    assert words.startswith('This run meets its own conditions.')
    words = ' '.join(advice(comparison(target=0.6, moved=0.01)))
    assert words.startswith('**No advice follows from this run')
    assert ', use ' not in words


def test_a_transfer_score_that_cannot_fall_is_left_out_of_the_claims() -> None:
    found = comparison()
    scores = found.scores['obj_only']
    for model in ('alpha_0', 'random'):
        scores[model] = {**scores[model], 'neighbours/far': np.ones((3, 800), bool)}
    assert untold(found) == ['neighbours/far']
    assert missed(found) == []
    lines = [claim.line() for claim in claims(found)]
    assert '1. Fine-tuning hurts transfer (nearest neighbours): **no set can tell** (far)' in lines
    assert any('(SVM, standardised): -20.00' in line for line in lines)
    assert (
        'left out of claims and advice: nearest neighbours on far.' in make_report(found).markdown()
    )
    for model in ('alpha_0', 'random'):
        scores[model] = {**scores[model], 'svm/far': np.ones((3, 800), bool)}
    assert 'a transfer set on which' in missed(found)[0].what


def test_the_report_begins_with_what_to_use_and_shows_every_method() -> None:
    report = make_report(comparison())
    text = report.markdown()
    assert text.split('\n\n')[1].startswith('This run meets its own conditions.')
    for words in ('All conditions are met', '| LoRA', 'corrupted', 'CAD to scan', 'from alpha 1'):
        assert words in text
    assert '90.00' in report.scores['Test split of obj_only: accuracy, %, full fine-tuning']


def test_axes_span_enough_that_noise_is_no_effect() -> None:
    figures = [
        block.figure
        for s in make_report(comparison()).sections
        for block in s.blocks
        if hasattr(block, 'figure')
    ]
    for axes in (
        one for figure in figures for one in figure.axes if 'accuracy' in one.get_ylabel()
    ):
        low, high = axes.get_ylim()
        assert high - low >= 30


def test_a_method_along_the_path_has_the_alpha_of_held_out_clouds() -> None:
    found = comparison()
    read = methods(found)['wise_lp']
    scores = read(found.scores['obj_only'])
    np.testing.assert_array_equal(
        scores['target'], found.scores['obj_only']['alpha_1']['target/probed']
    )
    assert 'target/probed' not in scores


def test_of_equal_alphas_the_smallest_is_chosen() -> None:
    found = comparison()
    models = dict(found.scores['obj_only'])
    models['alpha_0.5'] = models['alpha_1']
    assert best_alphas(found, models, 'own') == [1, 1, 1]
