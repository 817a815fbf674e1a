"""Every robust method in one table, with intervals, and with conditions checked before.

    python run.py --config=configs/robust.py
        tiny ReCon, which the run pre-trains without labels on embedded assemblies, fine-tuned on
        the three embedded scans; three seeds, 600 test clouds, four transfer sets; likewise
        point_m2ae
    python run.py --config=configs/robust.py:small
        the same with few clouds and one setting; likewise small_point_m2ae
    python run.py --config=configs/robust.py --config.robust.folders="('DATA/one', 'DATA/two')"
        folders of your own as transfer sets besides; see `data/datasets/folder.py`
    python run.py --config=configs/robust.py:scanobjectnn --config.data.root=DATA \\
        --config.robust.transfer.modelnet40.root=MODELNET --config.robust.cad.root=MODELNET \\
        --config.init.checkpoint=recon.pth
        two-stream ReCon on ScanObjectNN, ModelNet40 as transfer set and as the CAD side of the
        shift

The report's first paragraph says which method to use when. Before any curve it says whether the run
can tell anything: see `robust.limits`.
"""

from ml_collections import ConfigDict, config_dict

from configs.pretrain import get_config as pretraining
from configs.wise_ft_lp import get_config as wise_ft_lp
from point_ft_jax.experiments.config import robust
from point_ft_jax.experiments.papers import check_variant

WHOLE = {'': 'recon', 'point_m2ae': 'point_m2ae'}
SMALL = {'small': 'recon', 'small_point_m2ae': 'point_m2ae'}
VARIANTS = (*WHOLE, *SMALL, 'scanobjectnn')


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('robust', variant, VARIANTS)
    if variant == 'scanobjectnn':
        config = _published()
    else:
        config = _embedded({**WHOLE, **SMALL}[variant])
    if variant in SMALL:
        _shrink(config)
    config.name = f'robust_{variant}' if variant else 'robust'
    return config


def _embedded(backbone: str) -> ConfigDict:
    """Fine-tuning for long enough: 15 epochs at 1e-3, not 5 at 1e-4 as `wise_ft_lp`."""
    config = robust()
    variants = {'recon': 'unlabelled', 'point_m2ae': 'unlabelled_point_m2ae'}
    config.pretraining = pretraining(variants[backbone])
    config.seeds = (0, 1, 2)
    config.data = ConfigDict({'name': 'shapes', 'style': 'scan', 'variant': 'obj_only'})
    config.data.update(train_size=600, test_size=600)
    config.validation.fraction = 0.2
    config.robust.transfer = ConfigDict(
        {
            'cad40': _shapes(style='cad', classes='cad40', train_size=1200, test_size=800),
            'cad15': _shapes(style='cad', train_size=450, test_size=600),
            'scanned40': _shapes(
                variant='obj_only', classes='cad40', train_size=1200, test_size=800
            ),
            'kinds': _shapes(style='assemblies', kinds=60, train_size=900, test_size=600),
        }
    )
    config.robust.cad = _shapes(
        style='cad', classes='cad40', train_size=1200, test_size=40, shared='scan11'
    )
    config.model.backbone = backbone
    config.model.variant = 'tiny'
    if backbone == 'recon':
        config.model.geometry = ConfigDict({'num_groups': 32, 'group_size': 32, 'drop_path': 0.0})
        config.svm.readout = ('cls_max', 'patches_mean_plus_max')
        # As `configs/recon_dapt.py` has it: positions at every block, as in pre-training.
        options = {'rank': 64, 'adapter_dropout': 0.0, 'positions_every_block': True}
        config.robust.runs.dapt.method.options = ConfigDict(options)
    else:
        config.model.geometry = ConfigDict(
            {'num_groups': (64, 32, 16), 'group_sizes': (16, 8, 8), 'drop_path': 0.0}
        )
        config.svm.readout = ('patches_mean', 'patches_max')
        config.svm.geometry.unmasked = True
        _without_class_token(config)
    config.model.head.dropout = 0.2
    config.train.epochs = 15
    config.train.batch_size = 32
    config.optim.lr = 1e-3
    config.optim.warmup = 1
    config.probe.lr = 2e-3
    config.few_shot.update(ways=(10,), shots=(10,), queries=10, folds=20)
    config.corruptions.severities = (3,)
    config.corruptions.clouds = 150
    config.wise.alphas = tuple(i / 10 for i in range(11))
    config.wise.reestimate_clouds = 480
    config.wise.batch_size = 40
    config.robust.adapted_clouds = 150
    return config


def _without_class_token(config: ConfigDict) -> None:
    """Point-M2AE has none, which Purge-Gate asks for, and a readout that DAPT's is another than."""
    del config.robust.adapt['purge_gate']
    config.robust.runs.dapt.model = ConfigDict({'readout': ('patches_mean_plus_max',)})


def _shapes(**options: object) -> ConfigDict:
    """Embedded shapes that neither pre-training nor fine-tuning has seen."""
    return ConfigDict({'name': 'shapes', 'seed': 2, **options})


def _shrink(config: ConfigDict) -> None:
    """One setting, coarser clouds, two transfer sets, a few alphas."""
    config.points = 512
    config.pretraining.train.epochs = 3
    config.robust.settings = ('obj_only',)
    config.data.update(train_size=300, test_size=600)
    if config.model.backbone == 'recon':
        config.model.geometry.update(num_groups=32, group_size=16)
    for name in ('scanned40', 'cad15'):
        del config.robust.transfer[name]
    config.robust.transfer.cad40.update(train_size=600, test_size=400)
    config.robust.transfer.kinds.update(train_size=300, test_size=300)
    config.robust.cad.train_size = 600
    config.robust.svm.update(cs=(1e-4, 1e-3, 1e-2), raw_cs=(1e-2, 1e-1, 1.0), folds=2)
    config.train.epochs = 12
    config.few_shot.update(queries=5, folds=10)
    config.corruptions.clouds = 45
    config.wise.alphas = (0.0, 0.25, 0.5, 0.75, 1.0)
    config.wise.reestimate_clouds = 240
    config.robust.adapted_clouds = 45


def _published() -> ConfigDict:
    """As `configs/wise_ft_lp.py:recon_scanobjectnn`, over all methods."""
    paper = wise_ft_lp('recon_scanobjectnn')
    config = robust()
    for name in ('points', 'data', 'model', 'init', 'train', 'optim', 'svm', 'probe', 'seeds'):
        config[name] = paper[name]
    modelnet = {'name': 'modelnet40', 'root': config_dict.placeholder(str)}
    modelnet['form'] = 'normal_resampled'
    config.robust.transfer = ConfigDict({'modelnet40': modelnet})
    config.robust.cad = ConfigDict({**modelnet, 'shared': 'scan11'})
    config.robust.runs.lp.optim = ConfigDict({'lr': 1e-4})
    config.few_shot.update(ways=(10,), shots=(10,), queries=20, folds=10)
    return config
