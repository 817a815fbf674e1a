"""Every tuning method from one backbone on the embedded shapes: the comparison of the papers.

    python run.py --config=configs/compare_methods.py
        all methods of point_ft_jax/methods/, two seeds each, some minutes a method on two cores;
        writes runs/compare_methods/report.md
    python run.py --config=configs/compare_methods.py:own --config.data.root=FOLDER
        on clouds of your own

A shorter list: --config.compare.methods="('dapt', 'lora')". All methods share the schedule, the
augmentation and the start; where one needs another rate, `compare.changes` says so.
"""

from ml_collections import ConfigDict

from configs import recon_dapt
from point_ft_jax.core import plugins
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('', 'own')


def get_config(variant: str = '') -> ConfigDict:
    """The config of a variant: '' or 'own'."""
    check_variant('compare_methods', variant, VARIANTS)
    config = recon_dapt.get_config(variant)
    dapt = config.method.options.to_dict()
    config.name = f'compare_methods_{variant}' if variant else 'compare_methods'
    config.job = 'compare'
    config.seeds = (0, 1)
    config.train.epochs = 5
    config.compare = ConfigDict(
        {
            'methods': tuple(plugins.available('methods')),
            'changes': {
                'dapt': {'method': {'options': dapt}},
                # Everything trains: at the tuners' rate it forgets what it started from.
                'full': {'optim': {'lr': 1e-4, 'factor': 10.0}},
            },
        }
    )
    if variant != 'own':
        config.data.train_size = 300
        config.data.test_size = 150
    return config
