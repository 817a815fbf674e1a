"""Every tuning method from one backbone, with the figures of the papers beside.

    python run.py --config=configs/compare_methods.py
        all methods of point_ft_jax/methods/ from the backbone that ships, on the embedded shapes,
        two seeds each, some minutes a method on two cores; writes runs/compare_methods/report.md
    python run.py --config=configs/compare_methods.py:five_seeds
        the same with half the points, last epochs and five seeds in one program: under an hour on
        one core
    python run.py --config=configs/compare_methods.py:own --config.data.root=FOLDER
        on clouds of your own
    python run.py --config=configs/compare_methods.py:pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth
        Point-MAE by the papers' protocol; likewise obj_bg, obj_only and modelnet40

A shorter list: --config.compare.methods="('dapt', 'lora')". Another backbone:
--config.model.backbone and --config.init.checkpoint. All methods share the schedule, the
augmentation and the start; where one needs another rate, `compare.changes` says so. Of which
backbone and data set the papers' figures are, `compare.published` says.
"""

from ml_collections import ConfigDict

from configs import recon_dapt
from point_ft_jax.core import plugins
from point_ft_jax.experiments.papers import DAPT, DATASETS, check_variant, paper

VARIANTS = ('', 'five_seeds', 'own', *DATASETS)
# What finds neighbours of its own, in a quarter of the papers' groups of half their size.
SMALLER = {
    'ppt': {'num_groups': 32, 'group_size': 16},
    'pointlora': {'selections': ((32, 16, 8, 1.0), (16, 32, 2, 0.25))},
    'pointgst': {'local': 8},
    'stag': {'width': 96},
}


def get_config(variant: str = '') -> ConfigDict:
    """The config of a variant: '', 'five_seeds', 'own', or one of the papers' data sets."""
    check_variant('compare_methods', variant, VARIANTS)
    if variant in DATASETS:
        return _papers(variant)
    config = recon_dapt.get_config('own' if variant == 'own' else '')
    changes = {
        'dapt': {'method': {'options': config.method.options.to_dict()}},
        # Everything trains: at the tuners' rate it forgets what it started from.
        'full': {'optim': {'lr': 1e-4, 'factor': 10.0}},
    }
    config.name = f'compare_methods_{variant}' if variant else 'compare_methods'
    config.seeds = (0, 1)
    config.train.epochs = 5
    if variant != 'own':
        config.data.train_size = 300
        config.data.test_size = 150
    if variant == 'five_seeds':
        _five_seeds(config)
        changes |= {name: {'method': {'options': own}} for name, own in SMALLER.items()}
    return _comparison(config, changes, ('point_mae', 'pb_t50_rs'))


def _comparison(config: ConfigDict, changes: dict, published: tuple[str, str]) -> ConfigDict:
    config.job = 'compare'
    config.compare = ConfigDict(
        {
            'methods': tuple(plugins.available('methods')),
            'changes': changes,
            'published': published,  # backbone and data set of the papers' figures
        }
    )
    return config


def _five_seeds(config: ConfigDict) -> None:
    """512 points in groups of 16: as wide as 1,024 in groups of 32, at half their cost."""
    config.points = 512
    config.model.geometry.group_size = 16
    config.data.update(train_size=180, test_size=225)
    config.train.epochs = 4
    config.seeds = (0,)
    config.population = 5
    config.select = 'last_epoch'
    config.validation.fraction = 0.0
    config.train.evaluate_every = config.train.epochs


def _papers(dataset: str) -> ConfigDict:
    config = paper(dataset, f'compare_methods_{dataset}')
    config.model.backbone = 'point_mae'
    rank, adapter_dropout, drop_path, readout = DAPT[dataset]
    dapt = {
        'model': {'readout': readout, 'geometry': {'drop_path': drop_path}},
        'method': {'options': {'rank': rank, 'adapter_dropout': adapter_dropout}},
    }
    return _comparison(config, {'dapt': dapt}, ('point_mae', dataset))
