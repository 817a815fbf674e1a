"""All of Point-MAE fine-tuned, after Pang et al. (ECCV 2022, arXiv 2203.06604).

    python run.py --config=configs/full_point_mae.py:pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

Its tables of ScanObjectNN and ModelNet40. Accuracies that its repository reports: obj_bg 90.02,
obj_only 88.29, pb_t50_rs 85.18, modelnet40 93.80 (voted), modelnet40_8k 94.04.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import DATASETS, check_variant, paper

VARIANTS = (*DATASETS, 'modelnet40_8k')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('full_point_mae', variant, VARIANTS)
    config = paper(variant, f'full_point_mae_{variant}')
    config.model.backbone = 'point_mae'
    return config
