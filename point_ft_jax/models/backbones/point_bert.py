"""Point-BERT (Yu et al., CVPR 2022): a 256-wide tokenizer, mapped to the transformer's width.

The published classifiers have 40 outputs on ScanObjectNN too (15 are in use): to load one whole,
build the model with 40 classes.
"""

import functools

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, SIZES, Backbone, Segmentation
from point_ft_jax.models.part_heads import GraphHead
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer

BACKBONE = Backbone(
    build=functools.partial(PointTransformer, tokenizer_width=256),
    variants=SIZES,
    readout=('cls', 'patches_max'),
    head={'widths': (256,), 'batch_norm': False},
    segmentation=Segmentation(head=GraphHead, readout=()),
    torch_names={**TORCH_NAMES, 'reduce': 'reduce_dim'},
    # The key encoder is a moving average of the query encoder, and keeps other running statistics.
    prefixes=('transformer_q.', 'transformer_k.', 'base_model.'),
    leaves=(
        'transformer_k.*',
        'mask_token',
        'lm_head.*',
        'cls_head.*',
        'dvae.*',
        'queue',
        'queue_ptr',
        *FINE_TUNED_HEAD,
    ),
)
