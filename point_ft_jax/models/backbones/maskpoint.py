"""MaskPoint (Liu et al., ECCV 2022): Point-BERT's graph, whose centres may lie near the origin.

The published head of ModelNet40 ("1x") is Point-BERT's and the default; that of ScanObjectNN ("2x")
is `head={'widths': (512, 256), 'batch_norm': True}`. Both have 40 outputs.
"""

import dataclasses
import functools

from point_ft_jax.models.backbones import point_bert

BACKBONE = dataclasses.replace(
    point_bert.BACKBONE,
    build=functools.partial(point_bert.BACKBONE.build, skip_near_origin=False),
    leaves=(*point_bert.BACKBONE.leaves, 'decoder.*', 'bin_cls_head.*'),
)
