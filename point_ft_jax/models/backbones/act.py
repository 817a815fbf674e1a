"""ACT (Dong et al., ICLR 2023): Point-MAE's graph with weights distilled from an image teacher."""

import dataclasses
import functools

from point_ft_jax.models.backbone import CLS, FINE_TUNED_HEAD, SIZES, WITHOUT_CLS, Backbone
from point_ft_jax.models.part_heads import TapHead
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer

BACKBONE = Backbone(
    build=PointTransformer,
    variants=SIZES,
    readout=('cls', 'patches_max'),
    segmentation=dataclasses.replace(WITHOUT_CLS, head=functools.partial(TapHead, suffix='_cls')),
    torch_names=TORCH_NAMES,
    prefixes=('ACT_encoder.', 'base_model.'),
    leaves=(
        *CLS,
        'mask_token',
        'proj_head.*',
        'decoder_pos_embed.*',
        'ACT_decoder.*',
        'lm_head.*',
        'cls_head.*',
        'dvae_tokenizer.*',
        *FINE_TUNED_HEAD,
    ),
)
