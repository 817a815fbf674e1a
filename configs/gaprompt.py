"""GAPrompt, geometry-aware prompts, on four backbones (ICML 2025, arXiv 2505.04119).

    python run.py --config=configs/gaprompt.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Its repository reports 91.91, 90.19, 85.57 and 94.2 for Point-MAE. Here it scales and
translates everywhere; which augmentation each of these was made with has not been settled, so
compare within one only.

Patches propagate as the paper describes. `--config.method.options.propagation=reference` is the
released code, where they read other clouds of the batch: the published figures are of that.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import TUNED, check_variant, paper

VARIANTS = TUNED

# Its configs: learned points, how far points move, and where patches propagate.
GAPROMPT = {
    'obj_bg': (10, 0.2, 'before'),
    'obj_only': (10, 0.1, 'after'),
    'pb_t50_rs': (5, 0.8, 'after'),
    'modelnet40': (5, 0.05, 'after'),
}


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('gaprompt', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    config = paper(dataset, f'gaprompt_{variant}')
    config.model.backbone = backbone
    config.method.name = 'gaprompt'
    points, amount, place = GAPROMPT[dataset]
    config.method.options = ConfigDict(
        {
            'num_points': points,
            'perturbation': amount,
            'place': place,
            'propagation': 'aligned',
        }
    )
    config.model.head.dropout = 0.6
    if dataset == 'modelnet40':
        config.train.epochs = 401  # 0 to max_epoch = 400, both included
        config.optim.epochs = 400
    return config
