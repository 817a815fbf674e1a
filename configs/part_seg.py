"""Part segmentation: on the embedded shapes, on your own, and on ShapeNetPart as the papers do.

    python run.py --config=configs/part_seg.py
        a tiny Point-MAE on the embedded shapes: minutes on two cores, nothing to download
    python run.py --config=configs/part_seg.py:own --config.data.root=FOLDER
        clouds of your own, a file each in <class>/, the part of a point in the last column
    python run.py --config=configs/part_seg.py:own_lists --config.data.root=FOLDER
        your own in the layout of ShapeNetPart, with its lists of train, val and test
    python run.py --config=configs/part_seg.py:point_mae --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth
        the backbones' own protocol; likewise pcp_mae, act, recon, point_bert, point_m2ae, and
        pointgpt_small, pointgpt_base, pointgpt_large
    python run.py --config=configs/part_seg.py:point_mae_idpt --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth
        a method on Point-MAE; likewise point_mae_dapt, point_mae_linear_probe

Class and instance mIoU that the tables have: point_mae 84.19 and 86.1, pcp_mae 84.9 (class; its
segmenter is taken to be Point-MAE's), point_mae_idpt 83.79 and 85.7, point_mae_dapt 84.01 and 85.7,
point_bert 84.11 and 85.6. DAPT's segmenter was never released: here it is IDPT's decoder with
adapters of rank 30, which has the published count.

These variants follow the references, quirks included: points are drawn with replacement, in testing
too (here from a fixed seed), every batch is stepped on twice (Point-BERT's once), the best test
epoch is reported and frozen statistics move.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import default
from point_ft_jax.experiments.papers import check_variant, part_segmentation

# variant: backbone, method
PAPERS = {
    'point_mae': ('point_mae', 'full'),
    'pcp_mae': ('pcp_mae', 'full'),
    'act': ('act', 'full'),
    'pointgpt_small': ('pointgpt', 'full'),
    'pointgpt_base': ('pointgpt', 'full'),
    'pointgpt_large': ('pointgpt', 'full'),
    'recon': ('recon_two_stream', 'full'),
    'point_bert': ('point_bert', 'full'),
    'point_m2ae': ('point_m2ae', 'full'),
    'point_mae_idpt': ('point_mae', 'idpt'),
    'point_mae_dapt': ('point_mae', 'dapt'),
    'point_mae_linear_probe': ('point_mae', 'linear_probe'),
}
VARIANTS = ('', 'own', 'own_lists', *PAPERS)


def get_config(variant: str = '') -> ConfigDict:
    """The config of a variant: '', 'own', 'own_lists', or one of the papers'."""
    check_variant('part_seg', variant, VARIANTS)
    if variant in PAPERS:
        config = part_segmentation(*PAPERS[variant], f'part_seg_{variant}')
        if config.model.backbone == 'pointgpt':
            _pointgpt(config, variant.removeprefix('pointgpt_'))
        return config
    config = _embedded()
    if variant == 'own':
        config.data = ConfigDict({'name': 'part_folder', 'root': config_dict.placeholder(str)})
        config.data.nonfinite = 'refuse'  # or 'drop' points that are NaN or infinite
        config.data.unreadable = 'refuse'  # or 'skip' files that cannot be read
    if variant == 'own_lists':
        config.data = ConfigDict({'name': 'shapenetpart', 'root': config_dict.placeholder(str)})
        config.data.official = False
        config.data.use_val = True  # whether the validation list is trained on
    if variant:
        config.data.num_points = config.points
        config.name = f'part_seg_{variant}'
    return config


def _pointgpt(config: ConfigDict, size: str) -> None:
    """What PointGPT's trainer, Point-MAE's otherwise, has of its own for a size."""
    config.model.variant = size
    config.train.batch_size = 32
    config.optim.warmup = 30
    if size != 'small':
        first = {'base': 3072, 'large': 4096}[size]  # four times the width
        config.model.head.update(propagation=(first, 2048), widths=(1024, 512))


def _embedded() -> ConfigDict:
    """A quarter of the points, half the depth and a narrow head: a few minutes on two cores."""
    config = default()
    config.name = 'part_seg'
    config.task = 'part_segmentation'
    config.points = 512
    config.data.update(style='cad', num_points=512, train_size=600, test_size=150)
    config.model.backbone = 'point_mae'
    config.model.variant = 'tiny'
    config.model.geometry = ConfigDict(
        {'depth': 6, 'num_groups': 64, 'group_size': 16, 'drop_path': 0.0}
    )
    config.model.head = ConfigDict({'dropout': 0.2, 'propagation': (256, 128), 'widths': (128, 64)})
    config.train.epochs = 10
    config.train.evaluate_every = 2
    config.train.batch_size = 15
    config.train.augment = 'scale_isotropic+shift'
    config.optim.warmup = 1
    config.optim.lr = 1e-3
    config.vote.augment = 'scale_isotropic+shift'
    return config
