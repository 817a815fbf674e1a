"""Methods beside each other: one table, one start, one augmentation."""

import json
import pathlib

import pytest
from ml_collections import ConfigDict
from small import tiny

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import published
from point_ft_jax.experiments.jobs.compare import run as compare
from point_ft_jax.reports.comparison import Comparison, interval, make_report


def config(folder: pathlib.Path, changes: dict) -> ConfigDict:
    """Two methods on a very small model."""
    found = tiny(folder, seeds=(0, 1))
    found.train.epochs = 1
    found.optim.warmup = 0
    found.job = 'compare'
    found.compare = ConfigDict(
        {
            'methods': ('linear_probe', 'bitfit'),
            'changes': changes,
            'published': ('point_mae', 'pb_t50_rs'),
        }
    )
    return found


@pytest.mark.slow
def test_the_table_has_a_row_a_method(tmp_path: pathlib.Path) -> None:
    changes = {'bitfit': {'optim': {'lr': 1e-3}}}
    rows = compare(config(tmp_path, changes), 'python run.py').record.rows
    assert [row['method'] for row in rows] == ['linear_probe', 'bitfit']
    assert float(rows[0]['trainable M']) < float(rows[1]['trainable M'])
    assert all(row['± %'] and float(row['forward GFLOP']) > 0 for row in rows)
    # Fewer parameters train, but the backward pass ends where the backbone does.
    assert float(rows[0]['step GFLOP']) < float(rows[1]['step GFLOP'])
    assert float(rows[0]['memory MiB']) <= float(rows[1]['memory MiB'])
    assert '| bitfit' in (tmp_path / 'report.md').read_text()
    assert (tmp_path / 'comparison.png').stat().st_size > 5000
    assert json.loads((tmp_path / 'result.json').read_text())['methods'] == rows
    assert compare(config(tmp_path, changes), 'python run.py').record.rows == rows


def test_methods_that_do_not_fit_are_left_out_with_the_reason(tmp_path: pathlib.Path) -> None:
    unfit = config(tmp_path, {})
    unfit.model.backbone = 'point_m2ae'
    unfit.compare.methods = ('ppt', 'stag')
    unfit.model.geometry = ConfigDict({'heads': 2})
    with pytest.raises(UserError, match=r'no method fits:\n  - ppt: .*\n  - stag: '):
        compare(unfit)
    assert not (tmp_path / 'config.json').exists()


def test_an_interval_is_that_of_the_mean_over_seeds() -> None:
    # Student's t with four degrees of freedom: 2.776; a standard error of 1.
    mean, half = interval([0.0, 2.0, 2.0, 2.0, 4.0])
    assert (mean, half) == (2.0, pytest.approx(2.776 * (2 / 5) ** 0.5, rel=1e-3))
    assert interval([0.5]) == (0.5, None)


def test_published_figures_are_of_methods_backbones_and_sets_that_there_are() -> None:
    assert published.figures('point_mae', 'pb_t50_rs', 'scale_translate')['dapt'].accuracy == 85.08
    for figure in published.all_figures():
        assert figure.method in plugins.available('methods')
        assert figure.backbone in plugins.available('backbones')
        assert 80 < figure.accuracy < 96
        assert figure.source


def test_the_papers_figures_stand_beside_with_their_source() -> None:
    row = {
        'accuracy %': '84.00',
        '± %': '1.00',
        'trainable M': '1.100',
        'memory MiB': '100',
        'step GFLOP': '3.00',
    }
    rows = [
        {'method': 'dapt', **row, 'paper %': '85.08'},
        {'method': 'ssf', **row, 'paper %': ''},
    ]
    report = make_report(Comparison('all', 'python run.py', 'shapes.', rows, ['dapt: its readme']))
    assert '- dapt: its readme' in report.markdown()
    assert '85.08' in report.markdown()
    without = make_report(Comparison('all', 'python run.py', 'shapes.', rows[1:]))
    assert 'paper %' not in without.markdown()


def test_augmentations_are_never_mixed(tmp_path: pathlib.Path) -> None:
    mixed = config(tmp_path, {'bitfit': {'train': {'augment': 'rotate_y'}}})
    with pytest.raises(UserError, match='can not stand in one table'):
        compare(mixed)
