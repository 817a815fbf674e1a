"""VPT-Deep on four backbones, as IDPT's authors released it for points (ICCV 2023).

    python run.py --config=configs/vpt.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Like theirs it rotates scans; DAPT's tables, which scale and translate, have 81.09
for Point-MAE on pb_t50_rs: `--config.train.augment=scale_translate`. Never put both into one table.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import SCANS, TUNED, check_variant, paper

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('vpt', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'vpt_{variant}')
    config.model.backbone = backbone
    config.method.name = 'vpt'
    config.method.options = ConfigDict({'num_prompts': 10})
    # Their runner rotates if the name of the config has 'scan' in it.
    config.train.augment = 'rotate_y' if dataset in SCANS else 'scale_translate'
    return config
