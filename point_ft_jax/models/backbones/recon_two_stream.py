"""ReCon (Qi et al., ICML 2023) itself: two streams in every block, 43.6M parameters."""

import functools

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, SIZES, Backbone, Segmentation
from point_ft_jax.models.backbones.recon import PRETRAINING
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer
from point_ft_jax.models.two_stream import TwoStreamBlock

BLOCK = 'blocks.blocks.{block}'
ONE_STREAM = ('block_{block}/mlp/fc1', 'block_{block}/mlp/fc2')  # here each stream has its own

BACKBONE = Backbone(
    build=functools.partial(
        PointTransformer, global_tokens=('cls', 'img', 'text'), block=TwoStreamBlock
    ),
    variants=SIZES,
    readout=('cls', 'patches_max'),
    segmentation=Segmentation(readout=('patches_max', 'patches_mean', 'cls_max')),
    torch_names={
        **{path: name for path, name in TORCH_NAMES.items() if path not in ONE_STREAM},
        'img_token': 'img_token',
        'img_pos': 'img_pos',
        'text_token': 'text_token',
        'text_pos': 'text_pos',
        'block_{block}/mlp_patches/fc1': f'{BLOCK}.mlp.fc1',
        'block_{block}/mlp_patches/fc2': f'{BLOCK}.mlp.fc2',
        'block_{block}/norm1_global': f'{BLOCK}.norm1_contrast',
        'block_{block}/norm2_global': f'{BLOCK}.norm2_contrast',
        'block_{block}/mlp_global/fc1': f'{BLOCK}.mlp_contrast.fc1',
        'block_{block}/mlp_global/fc2': f'{BLOCK}.mlp_contrast.fc2',
        'block_{block}/attention_global/q': f'{BLOCK}.attn_contrast.q',
        'block_{block}/attention_global/kv': f'{BLOCK}.attn_contrast.kv',
        'block_{block}/attention_global/proj': f'{BLOCK}.attn_contrast.proj',
    },
    prefixes=('MAE_encoder.', 'base_model.'),
    leaves=(*PRETRAINING, *FINE_TUNED_HEAD),
    undecayed=('cls_token', 'img_token', 'text_token'),
    pretraining={'block': functools.partial(TwoStreamBlock, detach=True)},
)
