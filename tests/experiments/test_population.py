"""Many members of one run, from a config to their results."""

import pathlib

import numpy as np
import pytest
from small import tiny

from point_ft_jax.checkpoints import run as saved
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments.jobs import finetune


@pytest.mark.slow
def test_a_population_gives_every_seed_its_result_and_goes_on_where_it_was(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    config = tiny(tmp_path, population=3)
    report = finetune.run(config)
    assert [seed.seed for seed in report.record.seeds] == [0, 1, 2]
    assert 'for all 3 members' in capsys.readouterr().err
    loaded = [saved.load_run(tmp_path / f'seed_{k}') for k in range(3)]
    heads = [run.variables['params']['head']['logits']['kernel'] for run in loaded]
    assert not np.array_equal(heads[0], heads[1])
    backbones = [
        run.variables['params']['backbone']['tokenizer']['first_0']['kernel'] for run in loaded
    ]
    np.testing.assert_array_equal(backbones[0], backbones[2])
    again = finetune.run(config)
    for a, b in zip(report.record.seeds, again.record.seeds, strict=True):
        np.testing.assert_array_equal(a.chosen.confusion, b.chosen.confusion)
    assert again.record.cost.argument_bytes == report.record.cost.argument_bytes > 0


@pytest.mark.slow
def test_a_population_over_rates_reports_the_one_that_validation_prefers(
    tmp_path: pathlib.Path,
) -> None:
    config = tiny(tmp_path, population=2, population_rates=(1e-6, 1e-2))
    report = finetune.run(config)
    assert len(report.record.seeds) == 1
    table = (tmp_path / 'rates.md').read_text()
    assert '1e-06' in table
    assert '0.01' in table
    assert (tmp_path / 'seed_0_lr_0.01' / 'delta').is_dir()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'population': 0}, 'population is 0, population_rates .*; expected 1 or more'),
        ({'population': 2, 'seeds': (0, 1)}, 'expected one seed, from which a population counts'),
        ({'population': 2, 'population_rates': (1e-3,)}, 'as many rates, two at least, if any'),
        ({'population_rates': (1e-3,)}, 'as many rates, two at least, if any'),
        ({'population': 2, 'population_rates': (1e-3, -1.0)}, 'different numbers, more than 0'),
        ({'population_clouds': 'mine'}, "expected 'own' or 'shared'"),
    ],
)
def test_populations_that_make_no_sense_are_refused(
    changes: dict, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match=message):
        finetune.run(tiny(tmp_path, **changes))
