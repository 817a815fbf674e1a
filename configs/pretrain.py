"""Pre-training of Point-MAE, PCP-MAE, PointGPT, Point-M2AE and ReCon.

    python run.py --config=configs/pretrain.py
        tiny single-stream ReCon on the embedded CAD shapes, reconstruction and contrast by class;
        likewise tiny_point_mae, tiny_pcp_mae, tiny_pointgpt, tiny_point_m2ae and
        tiny_recon_two_stream
    python run.py --config=configs/pretrain.py:unlabelled
        tiny ReCon without any label, on embedded assemblies: reconstruction, and contrast between
        two views of a cloud; likewise unlabelled_point_m2ae
    python run.py --config=configs/pretrain.py:own --config.data.root=FOLDER
        tiny ReCon on clouds of your own, by class; likewise unlabelled_own, without their classes
    python run.py --config=configs/pretrain.py:point_mae --config.data.root=DATA
        as published, on ShapeNet; likewise pcp_mae, pointgpt (S), point_m2ae and recon, which takes
        its teachers' features of the training clouds from a file, --config.pretrain.teachers=FILE

The folder of a run is what a fine-tuning run takes as its --config.init.checkpoint.

The published variants follow Pang et al. (ECCV 2022), Zhang et al. (NeurIPS 2024 and, Point-M2AE,
2022) and Qi et al. (ICML 2023): 301 epochs on a cosine of 300 (Point-M2AE: of 400, so that it does
not end), no clipping, the last epoch kept (Point-M2AE's own runs keep the epoch with the best
linear SVM).
PointGPT-S follows Chen et al. (NeurIPS 2023). Without a file of teachers, `recon` is reconstruction
alone.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import own_clouds, pretraining
from point_ft_jax.experiments.papers import check_variant

TINY = {
    '': 'recon',
    'tiny_point_mae': 'point_mae',
    'tiny_pcp_mae': 'pcp_mae',
    'tiny_pointgpt': 'pointgpt',
    'tiny_recon_two_stream': 'recon_two_stream',
    'tiny_point_m2ae': 'point_m2ae',
}
PUBLISHED = {
    'point_mae': 'point_mae',
    'pcp_mae': 'pcp_mae',
    'pointgpt': 'pointgpt',
    'point_m2ae': 'point_m2ae',
    'recon': 'recon_two_stream',
}
UNLABELLED = {
    'unlabelled': 'recon',
    'unlabelled_point_m2ae': 'point_m2ae',
    'unlabelled_own': 'recon',
}
VARIANTS = (*TINY, *UNLABELLED, 'own', *PUBLISHED)


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('pretrain', variant, VARIANTS)
    if variant in PUBLISHED:
        config = _published(PUBLISHED[variant])
    elif variant in UNLABELLED:
        config = _unlabelled(UNLABELLED[variant])
    else:
        config = _tiny(TINY.get(variant, 'recon'))
    if variant in ('own', 'unlabelled_own'):
        config.data = own_clouds()
    config.name = f'pretrain_{variant}' if variant else 'pretrain'
    return config


def _tiny(backbone: str) -> ConfigDict:
    """Some 25 minutes on one core for ReCon.

    Objects that no fine-tuning on the embedded shapes sees (another seed), turned about y, as
    scanned ones are. In short trials, one each, rotation gave better features of scans than with
    scaling besides, and a batch of 64 slightly better ones than 32: contrast wants many.
    """
    config = pretraining()
    config.data.style = 'cad'
    config.data.seed = 1
    config.data.train_size = 4500
    config.data.test_size = 300
    config.model.backbone = backbone
    config.model.variant = 'tiny'
    config.model.geometry = ConfigDict({'num_groups': 32, 'group_size': 32, 'drop_path': 0.0})
    config.train.epochs = 10
    config.train.batch_size = 64
    config.train.augment = 'rotate_y'
    config.optim.lr = 1e-3
    config.optim.warmup = 1
    config.pretrain.decoder = ConfigDict(
        {'decoder_depth': 2, 'decoder_heads': 3, 'embed_hidden': False}
    )
    config.pretrain.contrast = backbone in ('recon', 'recon_two_stream')
    if backbone == 'pcp_mae':
        del config.pretrain.decoder.embed_hidden  # its hidden patches are encoded
    if backbone == 'pointgpt':
        config.model.geometry.generator_depth = 2
        config.pretrain.mask_ratio = 0.7
        config.pretrain.chamfer = 'chamfer_l1_l2'
        config.pretrain.decoder = ConfigDict({})
    if backbone == 'point_m2ae':
        config.model.geometry = ConfigDict(
            {'num_groups': (128, 64, 16), 'group_sizes': (16, 8, 8), 'drop_path': 0.0}
        )
        config.pretrain.mask_ratio = 0.8
        config.pretrain.decoder = ConfigDict({'decoder_heads': 3})
    return config


def _unlabelled(backbone: str) -> ConfigDict:
    """Assemblies, which have no classes, each seen twice in a step.

    Half the points in half-sized patches cover as much of a cloud as 1,024 points in patches of 32,
    at half the cost; so does hiding three quarters of them. Some 45 minutes on one core for ReCon.
    """
    config = _tiny(backbone)
    config.data = ConfigDict({'name': 'shapes', 'style': 'assemblies', 'seed': 1})
    config.data.update(train_size=8000, test_size=60)
    config.points = 512
    config.pretrain.sample = 'random'
    config.pretrain.contrast = True
    config.pretrain.contrast_by = 'cloud'
    config.train.augment = 'scale+rotate_y'
    if backbone == 'recon':
        config.model.geometry.group_size = 16
        config.pretrain.mask_ratio = 0.75
    else:
        config.model.geometry.num_groups = (64, 32, 16)
    return config


def _published(backbone: str) -> ConfigDict:
    """The reference's pre-training; yaml: what its config says."""
    config = pretraining()
    config.data = ConfigDict(
        {'name': 'shapenet55', 'root': config_dict.placeholder(str), 'official': True}
    )
    config.model.backbone = backbone
    config.model.geometry = ConfigDict(
        {'num_groups': 64, 'group_size': 32, 'drop_path': 0.1}  # yaml: num_group, group_size
    )
    config.pretrain.sample = 'random'
    config.train.batch_size = 128  # yaml: total_bs
    config.train.epochs = 301  # 0 to max_epoch = 300, both included
    config.train.evaluate_every = 10
    config.optim.schedule = 'cosine_by_epoch'
    config.optim.epochs = 300  # yaml: scheduler.kwargs.epochs
    config.optim.warmup = 10  # yaml: scheduler.kwargs.initial_epochs
    config.optim.lr = 1e-3  # yaml: optimizer.kwargs
    config.optim.clip = 0.0
    if backbone == 'pcp_mae':
        config.optim.lr = 5e-4
        config.train.augment = 'scale_translate+rotate_y'
    if backbone == 'pointgpt':
        config.model.variant = 'small'
        config.model.geometry.drop_path = 0.0  # its code never uses the yaml's
        config.pretrain.mask_ratio = 0.7
        config.pretrain.chamfer = 'chamfer_l1_l2'
        config.train.batch_size = 64
        config.optim.lr = 1e-4
    if backbone == 'recon_two_stream':
        config.optim.lr = 5e-4
        config.train.augment = 'rotate_y'
    if backbone == 'point_m2ae':
        config.points = 2048
        config.model.geometry = ConfigDict(
            {'num_groups': (512, 256, 64), 'group_sizes': (16, 8, 8), 'drop_path': 0.1}
        )
        config.pretrain.mask_ratio = 0.8
        config.optim.epochs = 400
    return config
