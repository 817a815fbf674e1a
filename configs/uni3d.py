"""Uni3D (Zhou et al., ICLR 2024, arXiv 2310.06773) tuned on coloured clouds of your own.

    python run.py --config=configs/uni3d.py --config.data.root=FOLDER \\
        --config.init.checkpoint=uni3d_s.pt
    python run.py --config=configs/uni3d.py:tiny --config.data.root=FOLDER \\
        --config.init.checkpoint=uni3d_ti.pt

The sizes small (the default), tiny, base, large and giant. Its class token is read by a head, and
LoRA trains beside it; --config.method.name takes any other method. These settings are this
project's own: no paper tunes Uni3D so. The clouds are files with colours in folders of classes, the
y axis up; --config.data.channels="()" is for clouds without, which it sees as grey.

Classification by text features, without training: point-ft predict --text-features. To tune from
there: --config.init.text_features=classes.npz, with one row a class of the data.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import default, own_clouds
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('', 'tiny', 'small', 'base', 'large', 'giant')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('uni3d', variant, VARIANTS)
    config = default()
    config.name = f'uni3d_{variant}' if variant else 'uni3d'
    config.data = own_clouds()
    config.data.channels = ('color',)
    config.points = 8192
    config.model.backbone = 'uni3d'
    config.model.variant = variant or 'small'
    config.model.geometry = ConfigDict({'num_groups': 512, 'group_size': 64, 'drop_path': 0.0})
    config.method.name = 'lora'
    config.init = ConfigDict(
        {'checkpoint': config_dict.placeholder(str), 'head': False, 'text_features': ''}
    )
    return config
