"""ReCon++ (Qi et al., ECCV 2024, arXiv 2402.17766) as its files are published, for zero shots.

Learned queries, some aligned with images and some with texts, attend to the patches of coloured
clouds: 10,000 points, colours in 0..1 (0.4 where there are none), in the unit sphere. Files of base
and large were published; the weights behind the fine-tuned rows of the paper's tables were not.
Their graph is another one, `recon_pp_causal`, which these files do not fit.

A readout of 'cls' would be all sixteen queries side by side; 'queries' are their maxima.
"""

import functools

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, Backbone
from point_ft_jax.models.query_transformer import AlignedQueryTransformer, torch_names

LARGE_TOKENIZER = ('tokenizer/first_norm_2', 'tokenizer/first_2')
SIZES = {
    'base': {},
    'tiny': {'width': 192, 'heads': 3, 'depth': 8},
    'large': {'width': 1024, 'heads': 16, 'depth': 24},
}

BACKBONE = Backbone(
    build=functools.partial(
        AlignedQueryTransformer, width=768, heads=12, num_groups=512, input_channels=6, fill=0.4
    ),
    variants=SIZES,
    readout=('queries', 'patches_max'),
    torch_names={
        **{p: n for p, n in torch_names('model.').items() if p not in LARGE_TOKENIZER},
        'positions/hidden': 'model.pos_embed.0',
        'positions/out': 'model.pos_embed.2',
        'align_image': 'img_proj',
        'align_text': 'text_proj',
    },
    conv=('model.embed.*',),
    leaves=(
        'model.decoder.*',
        'model.decoder_pos_embed.*',
        'model.norm.*',  # registered, and never called
        'model.encoder.ln_f2.*',
        'img_proj.*',
        'text_proj.*',
        *FINE_TUNED_HEAD,
    ),
)
