"""Methods beside each other: one table, one start, one augmentation."""

import json
import pathlib

import pytest
from ml_collections import ConfigDict
from small import tiny

from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments.jobs.compare import run as compare


def config(folder: pathlib.Path, changes: dict) -> ConfigDict:
    """Two methods on a very small model."""
    found = tiny(folder, seeds=(0, 1))
    found.train.epochs = 1
    found.optim.warmup = 0
    found.job = 'compare'
    found.compare = ConfigDict({'methods': ('linear_probe', 'bitfit'), 'changes': changes})
    return found


@pytest.mark.slow
def test_the_table_has_a_row_a_method(tmp_path: pathlib.Path) -> None:
    changes = {'bitfit': {'optim': {'lr': 1e-3}}}
    rows = compare(config(tmp_path, changes), 'python run.py').record
    assert [row['method'] for row in rows] == ['linear_probe', 'bitfit']
    assert float(rows[0]['trainable M']) < float(rows[1]['trainable M'])
    assert all(row['deviation'] and float(row['forward GFLOP']) > 0 for row in rows)
    assert '| bitfit' in (tmp_path / 'report.md').read_text()
    assert (tmp_path / 'comparison.png').stat().st_size > 5000
    assert json.loads((tmp_path / 'result.json').read_text())['methods'] == rows
    assert compare(config(tmp_path, changes), 'python run.py').record == rows


def test_augmentations_are_never_mixed(tmp_path: pathlib.Path) -> None:
    mixed = config(tmp_path, {'bitfit': {'train': {'augment': 'rotate_y'}}})
    with pytest.raises(UserError, match='can not stand in one table'):
        compare(mixed)
