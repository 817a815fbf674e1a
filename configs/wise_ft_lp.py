"""WiSE-FT-LP, after Zhang et al., Robust Fine-tuning for Pre-trained 3D Point Cloud Models (2024).

    python run.py --config=configs/wise_ft_lp.py:recon
        tiny ReCon, which ships, pre-trained without labels on embedded assemblies: fine-tuned on
        the three embedded scans, judged on other CAD shapes; likewise point_m2ae
    python run.py --config=configs/wise_ft_lp.py:recon_scanobjectnn --config.data.root=DATA \\
        --config.robust.transfer.modelnet40.root=MODELNET --config.init.checkpoint=recon.pth
        the paper's setting: two-stream ReCon on ScanObjectNN, judged on ModelNet40; likewise
        point_m2ae_scanobjectnn

`configs/robust.py` has every other method in the same table. Both say first whether the run can
tell anything: see `robust.limits`.

Of the paper (arXiv 2404.16422) only the abstract and summaries were available: the three steps are
its own, fine-tune, interpolate the backbone, probe. The grid of alphas, the schedule of probing,
the treatment of batch norms and the choice of alpha are this project's; no table is reproduced.
Fine-tuning is as the backbones' own papers have it, but held-out clouds choose the epoch. The SVM
on features as they are has the C of the backbone's own paper; beside it stands one on standardised
features, whose C is chosen on held-out folds.
"""

from ml_collections import ConfigDict, config_dict

from point_ft_jax.experiments.config import robust
from point_ft_jax.experiments.papers import check_variant, paper

EMBEDDED = ('recon', 'point_m2ae')
PUBLISHED = {
    'recon_scanobjectnn': 'recon_two_stream',
    'point_m2ae_scanobjectnn': 'point_m2ae',
}
VARIANTS = (*EMBEDDED, *PUBLISHED)


def get_config(variant: str = 'recon') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('wise_ft_lp', variant, VARIANTS)
    config = embedded(variant) if variant in EMBEDDED else published(PUBLISHED[variant])
    config.wise.statistics = ('reestimated', 'interpolated', 'finetuned', 'pretrained')
    config.name = f'wise_ft_lp_{variant}'
    return config


def embedded(backbone: str) -> ConfigDict:
    """A tiny backbone on the embedded scans, fine-tuned until its training accuracy is near 1."""
    config = robust()
    config.init.checkpoint = f'shipped:{backbone}_tiny'  # it has seen no label
    config.seeds = (0, 1, 2)
    config.data = ConfigDict({'name': 'shapes', 'style': 'scan', 'variant': 'obj_only'})
    config.data.update(train_size=600, test_size=600)
    config.validation.fraction = 0.2
    config.robust.runs = ConfigDict({'full': {}})
    config.robust.transfer = ConfigDict(
        {'cad40': shapes(style='cad', classes='cad40', train_size=1200, test_size=800)}
    )
    config.robust.cad = 'cad40'
    config.model.backbone = backbone
    config.model.variant = 'tiny'
    config.model.geometry = ConfigDict({'num_groups': 32, 'group_size': 32, 'drop_path': 0.0})
    if backbone == 'point_m2ae':
        levels = {'num_groups': (64, 32, 16), 'group_sizes': (16, 8, 8), 'drop_path': 0.0}
        config.model.geometry = ConfigDict(levels)
    config.model.head.dropout = 0.2
    config.train.epochs = 15
    config.train.batch_size = 32
    config.optim.lr = 1e-3
    config.optim.warmup = 1
    config.probe.lr = 2e-3
    config.few_shot.update(ways=(10,), shots=(10,), queries=10, folds=20)
    config.corruptions.severities = (3,)
    config.corruptions.clouds = 150
    config.wise.reestimate_clouds = 480
    config.wise.batch_size = 40
    _add_svm(config)
    return config


def shapes(**options: object) -> ConfigDict:
    """Embedded shapes that neither pre-training nor fine-tuning has seen."""
    return ConfigDict({'name': 'shapes', 'seed': 2, **options})


def published(backbone: str) -> ConfigDict:
    """A published backbone on ScanObjectNN, with ModelNet40 as the transfer set."""
    config = robust()
    own = paper('pb_t50_rs', 'wise_ft_lp')
    for name in ('points', 'data', 'model', 'init', 'train', 'optim'):
        config[name] = own[name]
    config.model.backbone = backbone
    config.robust.runs = ConfigDict({'full': {}})
    modelnet = {'name': 'modelnet40', 'root': config_dict.placeholder(str)}
    modelnet.update(form='normal_resampled', official=True)
    config.robust.transfer = ConfigDict({'modelnet40': modelnet})
    config.robust.cad = 'modelnet40'
    # The SVM's own: fewer points and groups than on scans.
    config.svm.points = 1024
    config.svm.geometry = ConfigDict({'num_groups': 64})
    config.probe.epochs = 100
    config.seeds = (0, 1, 2)
    if backbone == 'point_m2ae':
        config.model.geometry = ConfigDict(
            {'num_groups': (512, 256, 64), 'group_sizes': (32, 16, 16), 'drop_path': 0.1}
        )
        config.svm.geometry = ConfigDict({'group_sizes': (16, 8, 8)})
        config.model.readout = ('patches_mean', 'patches_max_but_first')
    else:
        config.model.geometry.drop_path = 0.2
        config.optim.lr = 2e-5
        config.optim.faster = ('head/*', 'backbone/cls_token', 'backbone/cls_pos')
        config.optim.factor = 10.0
        config.optim.decay_faster = True
        config.train.augment = 'rotate_y'
    _add_svm(config)
    return config


def _add_svm(config: ConfigDict) -> None:
    """Classifier, C and readout as the backbone's own paper has them."""
    if config.model.backbone == 'point_m2ae':
        config.svm.classifier = 'SVC'
        config.svm.c = 0.012
        config.svm.readout = ('patches_mean_plus_max',)
        config.svm.geometry.unmasked = True  # its SVM encodes as pre-training does
    else:
        config.svm.classifier = 'LinearSVC'
        config.svm.c = 0.075
        config.svm.readout = ('cls_max', 'patches_mean_plus_max')
