"""A finished run on corrupted test clouds.

    python run.py --config=configs/corruptions.py --config.run=runs/recon_dapt
        the seven corruptions of ModelNet-C generated from the run's own test clouds
    python run.py --config=configs/corruptions.py:modelnet40_c_13 --config.run=runs/recon_dapt
        likewise the thirteen of ModelNet40-C that need no mesh
    python run.py --config=configs/corruptions.py:modelnet_c --config.run=runs/full_modelnet40 \\
        --config.corruptions.root=modelnet_c
        the official files of ModelNet-C, for a run on ModelNet40

    python run.py --config=configs/corruptions.py:tent --config.run=runs/recon_dapt
        adapting at test time, by the entropy of its answers; likewise purge_gate, which leaves out
        the patches that fit worst, and purge_gate_sp, those least like the training clouds'

What is generated has the suites' recipes and other random draws: no number of it is a number of the
suite. mCE and RmCE are given for ModelNet40 only, against the published errors of DGCNN.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import judging
from point_ft_jax.experiments.papers import check_variant

VARIANTS = ('', 'modelnet40_c_13', 'modelnet_c', 'tent', 'purge_gate', 'purge_gate_sp')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('corruptions', variant, VARIANTS)
    config = judging('corruptions')
    config.name = f'corruptions_{variant}' if variant else 'corruptions'
    if variant == 'modelnet40_c_13':
        config.corruptions.suite = 'modelnet40_c_13_regenerated'
    if variant == 'modelnet_c':
        suite = {**config.corruptions.to_dict(), 'root': config_dict.placeholder(str)}
        config.corruptions = ConfigDict(suite)
    if variant == 'tent':
        config.adapt = ConfigDict({'name': variant, 'options': {'lr': 1e-3, 'variations': 1}})
    if variant in ('purge_gate', 'purge_gate_sp'):
        config.adapt = ConfigDict({'name': variant, 'options': {'purged': (0, 2, 4, 8)}})
    return config
