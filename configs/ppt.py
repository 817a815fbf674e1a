"""PPT, positional prompt tuning, on four backbones (arXiv 2408.11567).

    python run.py --config=configs/ppt.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Its repository reports 93.63, 92.60, 89.00 and 93.68 for Point-MAE. It rotates scans;
PointLoRA's tables, which scale and translate, have 89.84, 88.98, 84.45 and 93.2 for it:
`--config.train.augment=scale_translate`. Never put both into one table.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import SCANS, TUNED, check_variant, paper

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('ppt', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'ppt_{variant}')
    config.model.backbone = backbone
    config.method.name = 'ppt'
    # As many prompts as patches: the second grouping is of the first's size.
    groups = config.model.geometry.num_groups
    config.method.options = ConfigDict({'num_groups': groups, 'group_size': 32})
    config.model.geometry.drop_path = 0.3
    config.optim.lr = 5e-4 if dataset in SCANS else 1e-4
    config.train.augment = 'rotate_y' if dataset in SCANS else 'scale_translate'
    return config
