"""DAPT on four backbones, after Zhou et al. (CVPR 2024, arXiv 2403.01439), tables 1 to 3.

    python run.py --config=configs/dapt.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Accuracies of its tables: Point-MAE 90.88, 90.19, 85.08, 93.5; Point-BERT 91.05,
89.67, 85.43, 93.1. It scales and translates; configs/idpt.py rotates scans, so compare within one
augmentation only.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40. The released code can not load
Point-BERT's narrower tokenizer; here it can. configs/recon_dapt.py is ReCon's, with more variants.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import TUNED, check_variant, dapt

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('dapt', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    return dapt(backbone, dataset, f'dapt_{variant}')
