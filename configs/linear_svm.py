"""A linear SVM on frozen features: what a pre-trained backbone is worth without tuning.

    python run.py --config=configs/linear_svm.py --config.init.checkpoint=runs/pretrain
        tiny ReCon on the embedded CAD shapes; an empty checkpoint is random weights
    python run.py --config=configs/linear_svm.py:own --config.data.root=FOLDER \\
        --config.init.checkpoint=runs/pretrain
        on clouds of your own
    python run.py --config=configs/linear_svm.py:recon --config.data.root=DATA \\
        --config.init.checkpoint=recon.pth
        as ReCon's authors fit it on ModelNet40; likewise point_m2ae, and point_m2ae_obj_bg

Classifier, C and feature are each paper's own; accuracies that they report: recon 93.4, point_m2ae
92.9 on ModelNet40 and 84.1 on OBJ_BG. --config.run=FOLDER judges a finished run instead.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import judging, own_clouds
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('', 'own', 'recon', 'point_m2ae', 'point_m2ae_obj_bg')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('linear_svm', variant, VARIANTS)
    config = judging('linear_svm')
    config.name = f'linear_svm_{variant}' if variant else 'linear_svm'
    config.init = ConfigDict({'checkpoint': config_dict.placeholder(str), 'head': False})
    config.svm.readout = ('cls_max', 'patches_mean_plus_max')
    if variant in ('', 'own'):
        shapes = ConfigDict({'name': 'shapes', 'style': 'cad', 'seed': 2, 'classes': 'scan15'})
        config.data = own_clouds() if variant else shapes
        config.model.variant = 'tiny'
        config.model.geometry.num_groups = 32
        return config
    root = config_dict.placeholder(str)
    config.data = ConfigDict(
        {'name': 'modelnet40', 'root': root, 'form': 'normal_resampled', 'official': True}
    )
    config.model.backbone = 'recon_two_stream'
    if variant == 'recon':
        return config
    config.model.backbone = 'point_m2ae'
    config.model.geometry = ConfigDict(
        {'num_groups': (512, 256, 64), 'group_sizes': (16, 8, 8), 'drop_path': 0.0}
    )
    # The autoencoder's encoder, its last norm included, with nothing hidden.
    config.model.geometry.level_norm = True
    config.svm.geometry.unmasked = True
    config.svm.readout = ('patches_mean_plus_max',)
    config.svm.classifier = 'SVC'
    config.svm.c = 0.012
    config.svm.sample = 'first'
    config.data.form = 'hdf5_2048'
    if variant == 'point_m2ae_obj_bg':
        config.data = ConfigDict(
            {'name': 'scanobjectnn', 'root': root, 'variant': 'obj_bg', 'official': True}
        )
        config.points = 2048
        config.svm.c = 0.042
    return config
