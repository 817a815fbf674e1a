"""Point-M2AE (Zhang et al., NeurIPS 2022): three levels of tokens, 12.8M parameters.

The defaults are the published ModelNet40 classifier's: neighbourhoods of (16, 8, 8), and a head
that reads mean plus maximum of the last level's tokens. The ScanObjectNN classifier has
`group_sizes=(32, 16, 16)` and reads `('patches_mean', 'patches_max_but_first')`. There is no class
token, so that a method whose published readout is 'cls' needs another one here.
"""

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, Backbone, Segmentation
from point_ft_jax.models.hierarchical import TORCH_NAMES, HierarchicalTransformer
from point_ft_jax.models.part_heads import LevelHead

BACKBONE = Backbone(
    build=HierarchicalTransformer,
    variants={'base': {}, 'tiny': {'widths': (48, 96, 192), 'heads': 3}},
    readout=('patches_mean_plus_max',),
    segmentation=Segmentation(head=LevelHead, readout=()),
    torch_names=TORCH_NAMES,
    conv=('h_encoder.token_embed.*',),
    prefixes=('base_model.',),
    may_lack=('norm.*',),  # the classifiers' own
    leaves=(
        'mask_token',
        'h_encoder.encoder_norms.*',
        'h_decoder.*',
        'decoder_pos_embeds.*',
        'token_prop.*',
        'decoder_norm.*',
        'rec_head.*',
        'cls_proj.*',
        *FINE_TUNED_HEAD,
    ),
    undecayed=('level_?/tokenizer/*',),  # `token_embed`, by its name
    batch_norms=('level_0/tokenizer/first_norm', 'level_0/tokenizer/second_norm'),
    pretraining={},
    autoencoder='hierarchical',
)
