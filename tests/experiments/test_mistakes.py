"""What a user can get wrong in a config or on the command line ends in one clear message."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from small import ROOT, tiny

from point_ft_jax.checkpoints import torch_file
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import build as builder
from point_ft_jax.experiments import run_folder
from point_ft_jax.experiments.jobs import finetune
from point_ft_jax.models import create_model

MISTAKES = {
    'unknown backbone': ({'model.backbone': 'pointnet'}, "no 'pointnet' among the backbones"),
    'unknown method': (
        {'method.name': 'lorax'},
        "no 'lorax' among the methods; did you",
    ),
    'unknown data': ({'data.name': 'shapenet'}, "no 'shapenet' among the datasets; did you mean"),
    'unknown variant': ({'model.variant': 'huge'}, "no variant 'huge' of recon; there are base"),
    'unknown augmentation': ({'train.augment': 'flip'}, "no augmentation 'flip'"),
    'unknown schedule': ({'optim.schedule': 'linear'}, "no schedule 'linear'"),
    'unknown selection': ({'select': 'best'}, "select is 'best'; expected one of"),
    'unknown compute type': ({'model.compute': 'float8'}, "the compute type is 'float8'"),
    'unknown memory': ({'train.memory': 'none'}, "train.memory is 'none'; expected one of auto"),
    'unknown batch norm': ({'batch_norm': 'off'}, "batch_norm is 'off'; expected 'hold'"),
    'unknown readout': ({'model.readout': ('max',)}, 'expected one or more of cls'),
    'readout of absent tokens': (
        {'model.readout': ('prompts_mean',), 'method.name': 'full', 'method.options': ConfigDict()},
        "'prompts_mean' needs prompts tokens",
    ),
    'nothing trains': ({'method.trainable': ('nobody/*',)}, 'no parameter matches nobody'),
    'option of another method': ({'method.name': 'full'}, 'method full has no option rank'),
    'no epochs': ({'train.epochs': 0}, 'train.epochs is 0; expected more than 0'),
    'no rate': ({'optim.lr': 0.0}, 'optim.lr is 0.0; expected more than 0'),
    'a rate that is no number': (
        {'optim.lr': float('nan')},
        'optim.lr is nan; expected a finite number',
    ),
    'clipping at infinity': (
        {'optim.clip': float('inf')},
        'optim.clip is inf; expected a finite number',
    ),
    'a warm-up below nothing': ({'optim.warmup': -1}, 'optim.warmup is -1; expected 0 or more'),
    'an average that never moves': ({'optim.ema': 1.0}, 'optim.ema is 1.0; expected 0 '),
    'a penalty below nothing': ({'optim.l2_sp': -1.0}, 'optim.l2_sp is -1.0; expected 0 or more'),
    'a head from nowhere': ({'init.head': True}, 'a head comes from the folder of a run'),
    'a seed twice': ({'seeds': (1, 1)}, r'seeds is \(1, 1\); expected one or more different'),
    'too much smoothing': ({'train.smoothing': 1.0}, 'train.smoothing is 1.0; expected 0 to 1'),
    'fewer than no votes': ({'vote.votes': -1}, 'vote.votes is -1'),
    'more points than there are': (
        {'points': 128},
        'takes 128 points and the clouds of train, .* have 64',
    ),
    'more groups than points': (
        {'model.geometry.num_groups': 100},
        '100',
    ),
    'no groups': ({'model.geometry.num_groups': 0}, 'num_groups is 0; expected more than 0'),
    'heads that do not divide': (
        {'model.geometry.heads': 5},
        'width is 12; expected a multiple of 5 heads',
    ),
    'every path dropped': (
        {'model.geometry.drop_path': 1.0},
        'drop_path is 1.0; expected 0 or more',
    ),
    'an unknown view to vote on': (
        {'vote.votes': 2, 'vote.augment': 'flip'},
        "no augmentation 'flip'",
    ),
    'nothing to choose by': (
        {'data.train_size': 15},
        'the validation split has no clouds; a class gives one to validation if it has two',
    ),
    'a batch that nothing fills': ({'train.batch_size': 500}, 'do not fill one batch of 500'),
    'validation of everything': ({'validation.fraction': 1.5}, 'expected a number between 0 and 1'),
    'a negative seed': ({'seeds': (-1,)}, 'expected one or more different numbers from 0 on'),
    'a population of a job that has none': (
        {'job': 'vote', 'population': 2},
        "the job 'vote' has one member; populations are for finetune and compare",
    ),
    'no checkpoint there': ({'init.checkpoint': 'gone.pth'}, 'gone.pth'),
    'data option that is wrong': ({'data.style': 'oil'}, "style is 'oil'"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_in_the_config_ends_in_its_message(mistake: str, tmp_path: pathlib.Path) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        finetune.run(tiny(tmp_path / 'run', **changes))
    run_folder.begin(tiny(tmp_path / 'run'))  # corrected, in the same folder


def test_a_folder_that_cannot_hold_a_run_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file cannot hold a run .*give another --config.folder'):
        run_folder.begin(tiny(tmp_path / 'file'))
    (tmp_path / 'torn' / 'seed_0').mkdir(parents=True)
    (tmp_path / 'torn' / 'config.json').write_text('{')
    with pytest.raises(UserError, match=r'config.json cannot be read .*remove it to start over'):
        run_folder.begin(tiny(tmp_path / 'torn'))


def test_a_checkpoint_that_does_not_fit_says_all_that_is_wrong(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path / 'run')
    state = create_model('recon', 15, geometry=dict(config.model.geometry)).export(
        create_model('recon', 15, geometry=dict(config.model.geometry)).init(jax.random.key(0))
    )
    del state['norm.weight']
    state['cls_pos'] = np.zeros((1, 1, 5), np.float32)
    state['extra.weight'] = np.zeros(3, np.float32)
    torch_file.write(tmp_path / 'bad.pth', state)
    config.init.checkpoint = str(tmp_path / 'bad.pth')
    with pytest.raises(UserError) as error:
        finetune.run(config)
    for part in ('missing: norm.weight (12,)', 'unexpected: extra.weight', 'shape of cls_pos'):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--config=configs/gone.py'], "no config 'configs/gone.py'"),
        (['--config=configs/recon_dapt.py:nope'], "no variant 'nope' of recon_dapt"),
        (['--config=configs/recon_dapt.py', '--config.train.epoch=1'], "did you mean 'epochs'"),
        (
            ['--config=configs/recon_dapt.py', '--config.data.nope=1'],
            "data set shapes has no option 'nope'; it has style",
        ),
        (['--config=configs/recon_dapt.py', '--config.train.remat=True'], 'it is train.memory now'),
        (
            ['--config=configs/recon_dapt.py', '--config.train.epochs=x'],
            "epochs is 'x'; expected a whole number",
        ),
        (['--config=configs/recon_dapt.py:own'], 'give --config.data.root='),
    ],
)
def test_a_mistake_on_the_command_line_is_no_traceback(
    arguments: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    folder = f'--config.folder={tmp_path}' if 'gone' not in arguments[0] else '--'
    done = subprocess.run(
        [sys.executable, 'run.py', *arguments, folder],
        cwd=ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_model_that_no_config_trained_says_nothing_of_its_data() -> None:
    with pytest.raises(UserError, match=r'my/model keeps no config.*say with --config=… what data'):
        builder.config_of({'classes': ['a'], 'points': 32}, 'my/model')
