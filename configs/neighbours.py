"""The accuracy of nearest neighbours on frozen features.

python run.py --config=configs/neighbours.py --config.init.checkpoint=runs/pretrain
    tiny ReCon on the embedded CAD shapes
python run.py --config=configs/neighbours.py --config.run=runs/recon_dapt
    a finished run's features, tuner and all
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import judging
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('',)


def get_config(variant: str = '') -> ConfigDict:
    """The config; it has no variants."""
    check_variant('neighbours', variant, VARIANTS)
    config = judging('neighbours')
    config.name = 'neighbours'
    config.data = ConfigDict({'name': 'shapes', 'style': 'cad', 'seed': 2})
    config.init = ConfigDict({'checkpoint': config_dict.placeholder(str), 'head': False})
    config.model.variant = 'tiny'
    config.model.geometry.num_groups = 32
    return config
