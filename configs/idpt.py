"""IDPT on four backbones, after Zha et al. (ICCV 2023, arXiv 2304.07221).

    python run.py --config=configs/idpt.py:point_mae_pb_t50_rs --config.data.root=DATA \\
        --config.init.checkpoint=point_mae.pth

A variant is BACKBONE_DATASET: point_bert, point_mae, recon or act, and obj_bg, obj_only, pb_t50_rs
or modelnet40. Accuracies that its repository reports for Point-MAE: 93.63, 93.12, 88.51, 93.3. It
rotates scans; DAPT's tables, which scale and translate, have 91.22, 90.02, 84.94 for it:
`--config.train.augment=scale_translate`. Never put both into one table.

Every backbone sees 2,048 points in 128 groups of a scan, and has as many outputs as there are
classes, Point-BERT too, whose own fine-tuning has 1,024, 64 and 40.
"""

from ml_collections import ConfigDict

from point_ft_jax.experiments.papers import SCANS, TUNED, check_variant, paper

VARIANTS = TUNED

ALL = ('cls', 'prompts_mean', 'patches_max')
# Its configs: the block before which the prompt enters, and what the head reads.
IDPT = {
    'obj_bg': (11, ('prompts_mean',)),
    'obj_only': (6, ALL),
    'pb_t50_rs': (11, ALL),
    'modelnet40': (11, ALL),
}


def get_config(variant: str = '') -> ConfigDict:
    """The config of one of `VARIANTS`; UserError for any other."""
    check_variant('idpt', variant, VARIANTS)
    backbone, dataset = VARIANTS[variant]
    prompt_layer, readout = IDPT[dataset]
    config = paper(dataset, f'idpt_{variant}')
    config.model.backbone = backbone
    config.model.readout = readout
    config.method.name = 'idpt'
    config.method.options = ConfigDict({'prompt_layer': prompt_layer})
    # Its runner rotates if the name of the config has 'scan' in it.
    config.train.augment = 'rotate_y' if dataset in SCANS else 'scale_translate'
    return config
