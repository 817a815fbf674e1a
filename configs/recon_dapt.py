"""DAPT on single-stream ReCon, after Zhou et al. (CVPR 2024, arXiv 2403.01439), tables 1 to 3.

    python run.py --config=configs/recon_dapt.py
        the tiny model on the embedded shapes: minutes on two cores, nothing to download
    python run.py --config=configs/recon_dapt.py:probe
        the same start, linearly probed: what DAPT has to beat; likewise full, all of it fine-tuned
    python run.py --config=configs/recon_dapt.py:own --config.data.root=FOLDER
        DAPT on clouds of your own
    python run.py --config=configs/recon_dapt.py:pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=recon.pth
        the paper's setting; likewise obj_bg, obj_only and modelnet40

The paper's variants follow the reference in everything, its quirks included: the epoch is chosen on
the test split, 301 epochs run on a cosine of 300, and the frozen backbone's statistics move.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.config import default, own_clouds
from point_ft_jax.experiments.papers import DATASETS, check_variant, dapt

METHODS = {'probe': 'linear_probe', 'full': 'full'}  # variants that are tuned by another method
VARIANTS = ('', *METHODS, 'own', *DATASETS)


def get_config(variant: str = '') -> ConfigDict:
    """The config of a variant: '', 'probe', 'full', 'own', or one of the paper's."""
    check_variant('recon_dapt', variant, VARIANTS)
    if variant in DATASETS:
        return dapt('recon', variant, f'recon_dapt_{variant}')
    config = _embedded()
    if variant == 'own':
        config.data = own_clouds()
        config.model.geometry.input_channels = 3  # more with data.channels
    if variant in METHODS:
        config.method.name = METHODS[variant]
        config.method.options = ConfigDict()
    config.name = f'recon_dapt_{variant}' if variant else 'recon_dapt'
    return config


def _embedded() -> ConfigDict:
    """A quarter of the paper's groups, half its points, 8 of its 301 epochs: a few minutes."""
    config = default()
    config.data.update(style='scan', variant='obj_only', train_size=1200, test_size=300, seed=0)
    config.model.variant = 'tiny'
    config.model.geometry.num_groups = 32
    # So few steps leave no time to overfit: a high rate, and hardly any dropout.
    config.model.geometry.drop_path = 0.0
    config.model.head.dropout = 0.2
    config.train.epochs = 8
    config.train.batch_size = 16
    config.optim.warmup = 1
    config.optim.lr = 1e-3
    config.optim.faster = ('head/*',)
    config.optim.factor = 4.0
    config.init.checkpoint = 'shipped:recon_tiny'
    config.method.name = 'dapt'
    # Positions at every block, as the backbone was pre-trained, where the paper's setting adds them
    # once.
    config.method.options = ConfigDict(
        {'rank': 64, 'adapter_dropout': 0.0, 'positions_every_block': True}
    )
    return config
