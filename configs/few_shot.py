"""Few-shot classification: n ways, k shots, ten folds, mean and deviation.

    python run.py --config=configs/few_shot.py --config.init.checkpoint=runs/pretrain
        tiny ReCon, probed on folds drawn from the embedded CAD shapes; --config.few_shot.by=tuning
        tunes all of it on every fold
    python run.py --config=configs/few_shot.py:own --config.data.root=FOLDER \\
        --config.init.checkpoint=runs/pretrain
        on clouds of your own; --config.few_shot.pool=union draws from both splits
    python run.py --config=configs/few_shot.py:recon_5way_10shot \\
        --config.few_shot.root=ModelNetFewshot --config.init.checkpoint=recon.pth
        ReCon on the official folds of ModelNet40, all of it tuned for 150 epochs on each; likewise
        recon_5way_20shot, recon_10way_10shot, recon_10way_20shot, and with point_mae:
        point_mae_5way_10shot, point_mae_5way_20shot, point_mae_10way_10shot, point_mae_10way_20shot
        and with pcp_mae:
        pcp_mae_5way_10shot, pcp_mae_5way_20shot, pcp_mae_10way_10shot, pcp_mae_10way_20shot

Accuracies that the authors report, 5-way 10-shot to 10-way 20-shot: ReCon 97.3, 98.9, 93.3, 95.8;
PCP-MAE 97.4, 99.1, 93.5, 95.9.
The papers' variants keep the best epoch on the fold's test clouds, as the papers do, and a head of
40 outputs, of which the fold's classes count.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import judging, own_clouds
from point_ft_jax.experiments.papers import check_variant, paper

BACKBONES = {'recon': 'recon_two_stream', 'point_mae': 'point_mae', 'pcp_mae': 'pcp_mae'}
TASKS = {
    f'{name}_{ways}way_{shots}shot': (name, ways, shots)
    for name in BACKBONES
    for ways in (5, 10)
    for shots in (10, 20)
}
VARIANTS = ('', 'own', *TASKS)


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('few_shot', variant, VARIANTS)
    config = judging('few_shot')
    config.name = f'few_shot_{variant}' if variant else 'few_shot'
    if variant in ('', 'own'):
        shapes = ConfigDict({'name': 'shapes', 'style': 'cad', 'seed': 2})
        config.data = own_clouds() if variant else shapes
        config.init = ConfigDict({'checkpoint': config_dict.placeholder(str), 'head': False})
        config.model.variant = 'tiny'
        config.model.geometry.num_groups = 32
        config.select = 'last_epoch'
        config.train.augment = 'scale_translate'
        return config
    name, ways, shots = TASKS[variant]
    own = paper('modelnet40', variant)
    for section in ('points', 'data', 'model', 'init', 'select', 'batch_norm', 'train', 'optim'):
        config[section] = own[section]
    config.model.backbone = BACKBONES[name]
    config.model.head.outputs = 40
    config.train.epochs = 151  # 0 to max_epoch = 150, both included
    config.optim.epochs = 150
    if name == 'recon':
        config.train.augment = 'rotate_y'  # its runner scales and translates on `ModelNet` alone
    config.few_shot = ConfigDict(
        {
            **config.few_shot.to_dict(),
            'root': config_dict.placeholder(str),
            'ways': ways,
            'shots': shots,
            'by': 'tuning',
        }
    )
    return config
