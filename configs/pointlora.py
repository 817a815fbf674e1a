"""PointLoRA on four backbones (CVPR 2025, arXiv 2504.16023).

    python run.py --config=configs/pointlora.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Its tables have 90.71, 89.33, 85.53 and 93.3 for Point-MAE. It scales and translates.
Only its config for pb_t50_rs has been released, which the others here follow; its code takes 128
patches and no other number, so that modelnet40, with 64, is not its.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import TUNED, check_variant, paper

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('pointlora', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'pointlora_{variant}')
    config.model.backbone = backbone
    config.method.name = 'pointlora'
    config.method.options = ConfigDict({'rank': 8})
    config.model.geometry.drop_path = 0.3
    return config
