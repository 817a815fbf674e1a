"""ReCon (Qi et al., ICML 2023, arXiv 2302.02318) as DAPT and its successors tune it.

One stream of pre-norm blocks, 22.1M parameters.

The published file has a second stream for its image and text tokens; this form leaves it behind.
Mind that the function differs from the one that was pre-trained: ReCon's own visual stream adds
each update to the *normalised* value (`two_stream.TwoStreamBlock`), this form to the plain
residual. The tuning papers use this form, so it is the default; `recon_two_stream` is ReCon itself.
"""

from point_ft_jax.models.backbone import CLS, FINE_TUNED_HEAD, SIZES, WITHOUT_CLS, Backbone
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer

PRETRAINING = (
    'mask_token',
    'decoder_pos_embed.*',
    'MAE_decoder.*',
    'increase_dim.*',
    'img_proj.*',
    'text_proj.*',
    'cls_proj.*',
    'img_encoder.*',
    'text_encoder.*',
)

BACKBONE = Backbone(
    build=PointTransformer,
    variants=SIZES,
    readout=('cls', 'patches_max'),
    segmentation=WITHOUT_CLS,  # as IDPT's and DAPT's tables have every plain transformer
    torch_names=TORCH_NAMES,
    prefixes=('MAE_encoder.', 'base_model.'),
    starts_from=('recon_two_stream',),
    leaves=(
        *CLS,
        *PRETRAINING,
        'img_token',
        'text_token',
        'img_pos',
        'text_pos',
        'blocks.blocks.*_contrast.*',
        *FINE_TUNED_HEAD,
    ),
    pretraining={},
)
