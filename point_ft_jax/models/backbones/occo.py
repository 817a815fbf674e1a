"""OcCo's transformer (Wang et al., ICCV 2021; trained by the authors of Point-BERT): their graph.

Its weights were never released, so there is no published file to load: this is the architecture,
for weights of your own under Point-BERT's names.
"""

import dataclasses

from point_ft_jax.models.backbone import FINE_TUNED_HEAD
from point_ft_jax.models.backbones import point_bert

BACKBONE = dataclasses.replace(
    point_bert.BACKBONE, prefixes=('base_model.',), leaves=FINE_TUNED_HEAD
)
