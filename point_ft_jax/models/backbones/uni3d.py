"""Uni3D (Zhou et al., ICLR 2024, arXiv 2310.06773): coloured clouds in a space of texts.

EVA-02 blocks, 6.4M to 1.0B parameters, trained so that a cloud's embedding [1024] is near those of
its picture and its caption by EVA02-CLIP-E-14-plus. `models.zero_shot` classifies by the text
features of class names.

Its clouds have 10,000 points, the y axis up, in the unit sphere, and colours in 0..1; a cloud
without colours is grey, 0.4, as half of those that it was trained on. The published files are in
half precision.
"""

import functools

from point_ft_jax.models.aligned_transformer import AlignedTransformer
from point_ft_jax.models.backbone import FINE_TUNED_HEAD, Backbone
from point_ft_jax.models.eva import EvaBlock, GatedMlp, PlainMlp
from point_ft_jax.models.point_transformer import TORCH_NAMES

GATED = functools.partial(EvaBlock, make_mlp=GatedMlp, fused=True)
PLAIN = functools.partial(EvaBlock, make_mlp=PlainMlp, mlp_ratio=4.3637, fused=True)
SMALL_IMAGES = {'image_tokens': 257, 'image_classes': 0}
UNREAD = ('visual.cls_token', 'visual.pos_embed', 'visual.patch_embed.*', 'visual.head.*')
BLOCK = 'visual.blocks.{block}'

BACKBONE = Backbone(
    build=AlignedTransformer,
    variants={
        'base': {},
        'tiny': {'width': 192, 'heads': 3, 'block': GATED, **SMALL_IMAGES},
        'small': {'width': 384, 'heads': 6, 'block': GATED, **SMALL_IMAGES},
        'large': {'width': 1024, 'heads': 16, 'depth': 24},
        'giant': {'width': 1408, 'heads': 16, 'depth': 40, 'block': PLAIN, 'image_tokens': 1601},
    },
    readout=('cls',),
    torch_names={
        **{p: n for p, n in TORCH_NAMES.items() if not p.startswith(('block_', 'norm'))},
        'reduce': 'encoder2trans',
        'align': 'trans2embed',
        'norm': 'visual.fc_norm',
        'image/cls_token': 'visual.cls_token',
        'image/pos_embed': 'visual.pos_embed',
        'image/kernel': 'visual.patch_embed.proj.weight',
        'image/offset': 'visual.patch_embed.proj.bias',
        'image/classes': 'visual.head.weight',
        'image/class_offset': 'visual.head.bias',
        'block_{block}/norm1': f'{BLOCK}.norm1',
        'block_{block}/norm2': f'{BLOCK}.norm2',
        'block_{block}/attention/qkv': f'{BLOCK}.attn.qkv',
        'block_{block}/attention/q_bias/bias': f'{BLOCK}.attn.q_bias',
        'block_{block}/attention/v_bias/bias': f'{BLOCK}.attn.v_bias',
        'block_{block}/attention/q': f'{BLOCK}.attn.q_proj',
        'block_{block}/attention/k': f'{BLOCK}.attn.k_proj',
        'block_{block}/attention/v': f'{BLOCK}.attn.v_proj',
        'block_{block}/attention/proj': f'{BLOCK}.attn.proj',
        'block_{block}/mlp/fc1': f'{BLOCK}.mlp.fc1',
        'block_{block}/mlp/fc1_gate': f'{BLOCK}.mlp.fc1_g',
        'block_{block}/mlp/fc1_value': f'{BLOCK}.mlp.fc1_x',
        'block_{block}/mlp/norm': f'{BLOCK}.mlp.norm',
        'block_{block}/mlp/fc2': f'{BLOCK}.mlp.fc2',
    },
    prefixes=('point_encoder.',),
    undecayed=('cls_token', 'image/cls_token'),
    may_lack=UNREAD,
    # Keys have no bias: what some files call so is a buffer of zeros. A part segmenter reads
    # nothing of the space of texts.
    leaves=(
        'logit_scale',
        'visual.blocks.*.attn.k_bias',
        'trans2embed.*',
        *UNREAD,
        *FINE_TUNED_HEAD,
    ),
)
