"""DAPT on ReCon's single-stream form, after Zhou et al. (CVPR 2024, arXiv 2403.01439), tables 1 to 3.

    python run.py --config=configs/recon_dapt.py
        the tiny model on the embedded shapes: minutes on two cores, nothing to download
    python run.py --config=configs/recon_dapt.py:own --config.data.root=FOLDER
        the same on clouds of your own
    python run.py --config=configs/recon_dapt.py:pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=recon.pth
        the paper's setting; likewise obj_bg, obj_only and modelnet40

The paper's variants follow the reference in everything, its quirks included: the epoch is chosen on
the test split, 301 epochs run on a cosine of 300, and the frozen backbone's statistics move.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.config import default
from point_ft_jax.errors import UserError

# What differs between the paper's settings: rank and dropout of the adapters, the stochastic depth,
# and what the head reads.
PAPER = {
    'obj_bg': (64, 0.5, 0.3, ('cls', 'prompts_mean', 'patches_max')),
    'obj_only': (64, 0.0, 0.1, ('cls', 'prompts_mean')),
    'pb_t50_rs': (64, 0.2, 0.3, ('cls', 'prompts_mean', 'patches_max')),
    'modelnet40': (72, 0.0, 0.1, ('cls', 'patches_max')),
}


def get_config(variant: str = '') -> ConfigDict:
    """The config of a variant: '', 'own', or one of the paper's."""
    if variant not in ('', 'own', *PAPER):
        raise UserError(f'no variant {variant!r} of recon_dapt; there are own, {", ".join(PAPER)}')
    config = _paper(variant) if variant in PAPER else _embedded()
    if variant == 'own':
        config.data = ConfigDict({'name': 'folder', 'root': config_dict.placeholder(str)})
        config.data.num_points = config_dict.placeholder(int)
        config.data.normalize = True
    config.name = f'recon_dapt_{variant}' if variant else 'recon_dapt'
    return config


def _embedded() -> ConfigDict:
    config = default()
    config.data.style = 'scan'
    config.data.variant = 'obj_only'
    config.model.variant = 'tiny'
    config.method.name = 'dapt'
    config.method.options = ConfigDict({'rank': 64, 'adapter_dropout': 0.0})
    return config


def _paper(variant: str) -> ConfigDict:
    rank, adapter_dropout, drop_path, readout = PAPER[variant]
    config = default()
    config.method.name = 'dapt'
    config.method.options = ConfigDict({'rank': rank, 'adapter_dropout': adapter_dropout})
    config.model.readout = readout
    config.model.geometry.drop_path = drop_path
    config.data = ConfigDict({'root': config_dict.placeholder(str)})
    if variant == 'modelnet40':
        config.data.name = 'modelnet40'
    else:
        config.data.name = 'scanobjectnn'
        config.data.variant = variant
        config.points = 2048
        config.model.geometry.num_groups = 128
    config.select = 'best_test_epoch'
    config.batch_norm = 'update'
    config.train.epochs = 301
    config.optim.epochs = 300
    config.optim.warmup = 10
    config.optim.schedule = 'cosine_by_epoch'
    return config
