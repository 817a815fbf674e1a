"""The backbones that ship: small, loadable as strictly as a published file, and accounted for."""

import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest

from point_ft_jax.checkpoints import shipped, torch_file
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import build as builder
from point_ft_jax.models import create_model

CONFIG = pathlib.Path(__file__).parents[2] / 'configs' / 'recon_dapt.py'


def default_config():
    spec = importlib.util.spec_from_file_location('recon_dapt', CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_the_main_job_starts_from_it_and_says_so() -> None:
    config = default_config()
    built = create_model('recon', 15, method='linear_probe', variant='tiny')
    variables, line = builder.load_start(config, built, seed=0)
    assert line.startswith('backbone: shipped:recon_tiny: loaded ')
    assert 'new: none; left in the file: none' in line
    config.init.checkpoint = ''
    fresh, line = builder.load_start(config, built, seed=0)
    assert line == 'backbone: random, from seed 0'
    kernel = [
        v['params']['backbone']['block_0']['attention']['qkv']['kernel'] for v in (variables, fresh)
    ]
    assert np.abs(kernel[0] - kernel[1]).max() > 0.01
    jax.tree.map(
        np.testing.assert_array_equal, variables['params']['head'], fresh['params']['head']
    )


def test_each_is_listed_with_its_backbone_and_the_command_that_made_it() -> None:
    listed = shipped.summaries()
    assert {*listed} == {f'shipped:{file.stem}' for file in shipped.FOLDER.glob('*.pth')}
    for name, line in listed.items():
        backbone = name.removeprefix('shipped:').removesuffix('_tiny')
        assert line.startswith(f'{backbone}, tiny, ')
        assert 'python run.py --config=configs/pretrain.py' in line


def test_it_is_small_and_comes_with_the_log_of_the_command_that_made_it() -> None:
    for file in shipped.FOLDER.glob('*.pth'):
        assert file.stat().st_size <= 12e6
        log = file.with_suffix('.log').read_text()
        assert 'python run.py --config=configs/pretrain.py' in log
        lines = [json.loads(s) for s in file.with_suffix('.jsonl').read_text().splitlines()]
        assert lines[-1]['reconstruction'] < lines[0]['reconstruction']
        state, beside = torch_file.state_dict(file)
        # It has seen no label: of what it has seen there is one class, which says so.
        assert list(beside['classes']) == ['assembly']
        assert {v.dtype.name for k, v in state.items() if k.endswith('.weight')} == {'bfloat16'}


def test_a_name_that_does_not_ship_is_said_with_those_that_do() -> None:
    assert shipped.locate('somewhere/a.pth') == 'somewhere/a.pth'
    with pytest.raises(UserError, match='no shipped:giant; there are shipped:point_m2ae_tiny, sh'):
        shipped.locate('shipped:giant')
