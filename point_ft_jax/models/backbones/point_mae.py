"""Point-MAE (Pang et al., ECCV 2022): the plain point transformer, 22.1M parameters."""

from point_ft_jax.models.backbone import CLS, FINE_TUNED_HEAD, SIZES, WITHOUT_CLS, Backbone
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer

BACKBONE = Backbone(
    build=PointTransformer,
    variants=SIZES,
    readout=('cls', 'patches_max'),
    segmentation=WITHOUT_CLS,
    torch_names=TORCH_NAMES,
    prefixes=('MAE_encoder.', 'base_model.'),
    may_lack=CLS,  # its autoencoder runs without a class token
    leaves=(
        *CLS,
        'mask_token',
        'decoder_pos_embed.*',
        'MAE_decoder.*',
        'increase_dim.*',
        *FINE_TUNED_HEAD,
    ),
    told_apart={'pos_embed.0.weight': 'a square one is of PCP-MAE: choose pcp_mae'},
    pretraining={'global_tokens': ()},
)
