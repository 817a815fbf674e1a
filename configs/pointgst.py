"""PointGST on four backbones, after Liang et al. (TPAMI 2025, arXiv 2410.08114).

    python run.py --config=configs/pointgst.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. It rotates scans for ReCon and ACT, and scales and translates everywhere else:
compare within one augmentation only. Distances are in units of a cloud's own;
`--config.method.options.batch_wide=True` takes the whole batch's, as its code does.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import SCANS, TUNED, check_variant, paper

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('pointgst', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'pointgst_{variant}')
    config.model.backbone = backbone
    config.method.name = 'pointgst'
    config.method.options = ConfigDict({'rank': 36, 'local': 32, 'batch_wide': False})
    rotates = dataset in SCANS and backbone in ('recon', 'act')
    config.train.augment = 'rotate_y' if rotates else 'scale_translate'
    return config
