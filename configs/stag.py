"""STAG, a side graph network, on four backbones (MVA 2025, arXiv 2502.14142).

    python run.py --config=configs/stag.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. It scales and translates. The wider form, STAG-SL:
`--config.method.options.first=3 --config.method.options.share=3`.

Its own table is of thirteen data sets (PCC13), of which only the means have been reported: 81.2,
STAG-SL 81.7, full fine-tuning 80.8.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import TUNED, check_variant, paper

VARIANTS = TUNED


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('stag', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'stag_{variant}')
    config.model.backbone = backbone
    config.method.name = 'stag'
    config.method.options = ConfigDict({'first': 6, 'share': 0})
    return config
