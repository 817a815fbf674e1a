"""PCP-MAE (Zhang et al., NeurIPS 2024, arXiv 2408.08753): Point-MAE's graph, sinusoid positions.

22,338,959 parameters with 15 classes. Its files have the keys of Point-MAE's; the position MLP,
[384, 384] where Point-MAE's is [128, 3], tells the two apart, and either refuses the other's.
"""

import dataclasses
import functools

from point_ft_jax.models.backbones import point_mae
from point_ft_jax.models.point_transformer import PointTransformer
from point_ft_jax.models.positions import SinusoidPositions

BACKBONE = dataclasses.replace(
    point_mae.BACKBONE,
    build=functools.partial(PointTransformer, position_map=SinusoidPositions),
    leaves=(*point_mae.BACKBONE.leaves, 'mask_pos_token', 'pred_pos_proj.*'),
    told_apart={'pos_embed.0.weight': 'one of (128, 3) is of Point-MAE: choose point_mae'},
    autoencoder='center_prediction',
)
