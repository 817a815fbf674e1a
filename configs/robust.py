"""Every robust method in one table, with intervals, and with conditions checked before.

    python run.py --config=configs/robust.py
        tiny ReCon, which ships, pre-trained without labels on embedded assemblies: fine-tuned on
        the three embedded scans; three seeds, 600 test clouds, four transfer sets; likewise
        point_m2ae
    python run.py --config=configs/robust.py:small
        the same with few clouds and one setting; likewise small_point_m2ae
    python run.py --config=configs/robust.py --config.init.checkpoint=runs/pretrain
        from a backbone that you have
    python run.py --config=configs/robust.py --config.robust.folders="('DATA/one', 'DATA/two')"
        folders of your own as transfer sets besides; see `data/datasets/folder.py`
    python run.py --config=configs/robust.py:scanobjectnn --config.data.root=DATA \\
        --config.robust.transfer.modelnet40.root=MODELNET --config.init.checkpoint=recon.pth
        two-stream ReCon on ScanObjectNN, ModelNet40 as transfer set and as the CAD side of the
        shift

The report begins with which method to use when. Before any curve it says whether the run can tell
anything: see `robust.limits`. `configs/wise_ft_lp.py` is the same experiment without the rivals.
"""

from ml_collections import ConfigDict

from configs.wise_ft_lp import embedded, published, shapes
from point_ft_jax.experiments.papers import check_variant

WHOLE = {'': 'recon', 'point_m2ae': 'point_m2ae'}
SMALL = {'small': 'recon', 'small_point_m2ae': 'point_m2ae'}
VARIANTS = (*WHOLE, *SMALL, 'scanobjectnn')
RUNS = {
    'lp': {'method': {'name': 'linear_probe'}},
    'full': {},
    'lp_ft': {'from_probe': True},
    'dapt': {'method': {'name': 'dapt'}},
    'lora': {'method': {'name': 'lora'}},
    'ema': {'optim': {'ema': 0.99}},
    'l2_sp': {'optim': {'l2_sp': 0.01}},
}
MERGES = {
    'soup': {'method': 'soup'},
    'greedy_soup': {'method': 'greedy_soup'},
    'model_stock': {'method': 'model_stock'},
    'ties': {'method': 'ties', 'density': 0.2},
    'dare': {'method': 'dare', 'density': 0.5},
    'lines': {'method': 'lines'},
    'mono_soup': {'method': 'mono_soup'},
    'layerwise': {'method': 'layerwise', 'grid': (0.0, 0.25, 0.5, 0.75, 1.0)},
}
ADAPT = {
    'tent': {'lr': 1e-3},
    'purge_gate': {'purged': (0, 2, 4, 8)},
    'purge_gate_sp': {'purged': (0, 2, 4, 8)},
}


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('robust', variant, VARIANTS)
    if variant == 'scanobjectnn':
        config = _with_rivals(published('recon_two_stream'))
        config.robust.runs.lp.optim = ConfigDict({'lr': 1e-4})
        config.few_shot.update(ways=(10,), shots=(10,), queries=20, folds=10)
    else:
        config = _embedded({**WHOLE, **SMALL}[variant])
    if variant in SMALL:
        _shrink(config)
    config.name = f'robust_{variant}' if variant else 'robust'
    return config


def _with_rivals(config: ConfigDict) -> ConfigDict:
    """With all methods, and C chosen on held-out folds on features as they are too."""
    config.robust.runs = ConfigDict(RUNS)
    config.robust.soup = ('full', 'lp_ft', 'l2_sp')
    config.robust.merges = ConfigDict(MERGES)
    config.robust.adapt = ConfigDict(ADAPT)
    config.robust.svm.raw_cs = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    return config


def _embedded(backbone: str) -> ConfigDict:
    config = _with_rivals(embedded(backbone))
    config.robust.transfer.cad15 = shapes(style='cad', train_size=450, test_size=600)
    config.robust.transfer.scanned40 = shapes(
        variant='obj_only', classes='cad40', train_size=1200, test_size=800
    )
    config.robust.transfer.kinds = shapes(
        style='assemblies', kinds=60, train_size=900, test_size=600
    )
    config.robust.adapted_clouds = 60
    config.svm.classifier = 'LinearSVC'
    if backbone == 'recon':
        # As `configs/recon_dapt.py` has it: positions at every block, as in pre-training.
        options = {'rank': 64, 'adapter_dropout': 0.0, 'positions_every_block': True}
        config.robust.runs.dapt.method.options = ConfigDict(options)
    else:
        config.svm.readout = ('patches_mean', 'patches_max')
        # It has no class token, which Purge-Gate asks for, and a readout that DAPT's is not.
        del config.robust.adapt['purge_gate'], config.robust.adapt['purge_gate_sp']
        config.robust.runs.dapt.model = ConfigDict({'readout': ('patches_mean_plus_max',)})
    return config


def _shrink(config: ConfigDict) -> None:
    """One setting, coarser clouds, two transfer sets, a few alphas, adaptation of a few methods."""
    config.points = 512
    config.robust.settings = ('obj_only',)
    config.data.update(train_size=300, test_size=600)
    if config.model.backbone == 'recon':
        config.model.geometry.update(num_groups=32, group_size=16)
    for name in ('scanned40', 'cad15'):
        del config.robust.transfer[name]
    config.robust.transfer.cad40.update(train_size=400, test_size=320)
    config.robust.transfer.kinds.update(kinds=30, train_size=240, test_size=240)
    config.robust.svm.update(cs=(1e-4, 1e-3, 1e-2), raw_cs=(1e-2, 1e-1, 1.0), folds=2)
    config.train.epochs = 10
    config.train.evaluate_every = 2
    config.few_shot.update(queries=5, folds=10)
    config.corruptions.clouds = 30
    config.wise.alphas = (0.0, 0.25, 0.5, 0.75, 1.0)
    config.wise.reestimate_clouds = 120
    config.robust.merges.layerwise.grid = (0.0, 0.5, 1.0)
    config.robust.adapted = ('lp', 'full', 'wise_lp')
    config.robust.adapted_clouds = 30
