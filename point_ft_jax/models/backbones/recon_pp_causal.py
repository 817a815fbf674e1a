"""ReCon++ (Qi et al., ECCV 2024, arXiv 2402.17766) in the form that its tables fine-tune.

For parity: of the weights behind those tables none were published, and the files that were are of
another form, `recon_pp`. 50.7M, 205.8M and 663.2M parameters with 15 classes, decoder included.

The loss is cross entropy plus three times the decoder's. The last patch of a cloud is never
encoded: in the released code the sequence that is fine-tuned is the one that was pre-trained.
"""

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, Backbone
from point_ft_jax.models.causal_query_transformer import DECODER_NAMES, CausalQueryTransformer
from point_ft_jax.models.query_transformer import torch_names

LARGE = {'tokenizer_widths': (256, 512, 1024, 2048)}

BACKBONE = Backbone(
    build=CausalQueryTransformer,
    variants={
        'base': {'width': 768, 'heads': 12, **LARGE},
        'tiny': {'width': 192, 'heads': 3, 'depth': 6, 'decoder_depth': 2},
        'small': {},
        'large': {'width': 1024, 'heads': 16, 'depth': 24, **LARGE},
    },
    readout=('queries', 'patches_max'),
    torch_names={
        **torch_names(),
        **DECODER_NAMES,
        'cls_token': 'cls_token',
        'sos': 'encoder.sos',
        'sos_pos': 'encoder.sos_pos',
    },
    conv=('embed.*', 'decoder.increase_dim.*'),
    prefixes=('model.',),
    may_lack=('cls_token',),
    leaves=('norm.*', 'img_proj.*', 'text_proj.*', 'decoder.*', *FINE_TUNED_HEAD),
)
