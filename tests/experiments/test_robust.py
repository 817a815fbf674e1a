"""The robust experiment end to end on very small models, and what its report says."""

import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import robust
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments.jobs import _robust_scores
from point_ft_jax.experiments.jobs import robust as job
from point_ft_jax.reports.robust_evidence import Comparison, claims, conditions, methods

GEOMETRY = {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4}


def tiny(folder: pathlib.Path, **changes: object) -> ConfigDict:
    """One setting, few runs, very small clouds."""
    config = robust.get_config('small')
    config.folder = str(folder)
    config.init.checkpoint = ''
    config.points = 64
    config.seeds = (0,)
    config.data.num_points = 64
    config.data.update(train_size=60, test_size=30)
    config.validation.fraction = 0.25
    config.model.geometry = ConfigDict({**GEOMETRY, 'drop_path': 0.0})
    config.train.update(epochs=2, batch_size=15)
    config.probe.epochs = 2
    config.wise.alphas = (0.0, 1.0)
    kinds = {'name': 'shapes', 'style': 'assemblies', 'kinds': 3, 'num_points': 64}
    config.robust.transfer = ConfigDict({'kinds': {**kinds, 'train_size': 18, 'test_size': 12}})
    config.robust.cad.num_points = 64
    config.robust.cad.train_size = 40
    for name in ('dapt', 'lora', 'ema', 'l2_sp'):
        del config.robust.runs[name]
    config.robust.soup = ('full', 'lp_ft')
    config.robust.adapt.purge_gate.purged = (0, 2)
    config.robust.adapted_clouds = 6
    config.corruptions.suite = ''
    config.few_shot.update(ways=(2,), shots=(2,), queries=2, folds=3)
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.slow
def test_an_experiment_compares_all_methods_and_goes_on_where_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = job.run(tiny(tmp_path), 'python run.py').record
    text = (tmp_path / 'report.md').read_text()
    for words in ('Which method when', 'NO', 'Model Stock', 'LP-FT', 'Claims', 'purge_gate'):
        assert words in text
    for name in ('target', 'transfer', 'plane', 'moved'):
        assert (tmp_path / f'{name}.png').stat().st_size > 5000
    scores = found.scores['obj_only']
    # Of one model on the same clouds: plain evaluation is that with adaptation left out.
    own = scores['alpha_1']
    rows = np.linspace(0, 29, 6).round().astype(int)
    np.testing.assert_array_equal(own['adapted/plain/own/target'], own['target/own'][:, rows])

    def refuse(*_: object) -> None:
        raise AssertionError('measured again')

    monkeypatch.setattr(_robust_scores.Scorer, 'scores', refuse)
    again = job.run(tiny(tmp_path), 'python run.py').record
    np.testing.assert_array_equal(
        again.scores['obj_only']['lines']['svm/kinds'], scores['lines']['svm/kinds']
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
    missed = [c.what for c in conditions(comparison(target=0.6, moved=0.01)) if not c.met]
    assert [words.split()[0] for words in missed] == ['target', 'how']


def test_a_method_along_the_path_has_the_alpha_of_held_out_clouds() -> None:
    found = comparison()
    read = methods(found)['wise_lp']
    scores = read(found.scores['obj_only'])
    np.testing.assert_array_equal(
        scores['target'], found.scores['obj_only']['alpha_1']['target/probed']
    )
    assert 'target/probed' not in scores


MISTAKES = {
    'no full run': ({'robust.soup': ('fool',)}, "robust.soup has 'fool'; expected names of"),
    'alphas': ({'wise.alphas': (0.5,)}, '0 and 1 among them'),
    'an unknown merge': ({'robust.merges.lines.method': 'line'}, "has method 'line'"),
    'an unknown option': ({'robust.shared': 'scan12'}, "robust.shared is 'scan12'"),
    'nothing held out': ({'validation.fraction': 0.0}, 'no held-out clouds are left'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        job.run(tiny(tmp_path, **changes))
