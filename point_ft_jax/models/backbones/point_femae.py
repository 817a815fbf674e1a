"""Point-FEMAE (Zha et al., AAAI 2024, arXiv 2312.10726): a local enhancement after every block.

Point-MAE's graph without a class token, 27.4M parameters, of which 5.3M are the enhancements; the
head reads mean and maximum of the patches. A method whose published readout is 'cls' needs another
one here.

In the released code the enhancements are called `cls`, and what is tuned is chosen by that very
substring: "linear probing" of this backbone would train 5,336,064 parameters of it besides the
head. Here they belong to the backbone and are frozen with it; `trainable=('head/*',
*SUBSTRING_CLS)` is the other choice. Neither code nor weights have a licence: ask their authors
before you pass them on.
"""

import functools

from point_ft_jax.models.backbone import FINE_TUNED_HEAD, SIZES, Backbone, Segmentation
from point_ft_jax.models.local_enhancement import LocalBlock
from point_ft_jax.models.point_transformer import TORCH_NAMES, PointTransformer

SUBSTRING_CLS = ('backbone/block_*/local/*', 'backbone/block_*/norm_local/*')
BLOCK = 'blocks.blocks.{block}'
PREFIXES = ('MAE_encoder.', 'base_model.')
# The reference registers every batch norm of the enhancements by itself and with its convolution.
TWINS = {
    f'{prefix}blocks.blocks.{block}.cls.conv{n}.1.': f'{prefix}blocks.blocks.{block}.cls.bn{n}.'
    for prefix in ('', *PREFIXES)
    for block in range(24)
    for n in (1, 2)
}

BACKBONE = Backbone(
    build=functools.partial(PointTransformer, global_tokens=(), block=LocalBlock),
    variants=SIZES,
    readout=('patches_mean', 'patches_max'),
    segmentation=Segmentation(),
    torch_names={
        **{path: name for path, name in TORCH_NAMES.items() if not path.startswith('cls_')},
        'block_{block}/norm_local': f'{BLOCK}.cls_norm',
        'block_{block}/local': f'{BLOCK}.cls.conv1.0',
        'block_{block}/local/edge_norm': f'{BLOCK}.cls.bn1',
        'block_{block}/local/mix': f'{BLOCK}.cls.conv2.0',
        'block_{block}/local/mix_norm': f'{BLOCK}.cls.bn2',
    },
    # The first convolution along the edges has two axes.
    conv=('encoder.*', 'blocks.blocks.*.cls.conv?.0.*', 'blocks.blocks.*.cls.conv1.0.*'),
    torch_twins=TWINS,
    prefixes=PREFIXES,
    leaves=(
        'mask_token*',
        'decoder_pos_embed*',
        'MAE_decoder*',
        'increase_dim*',
        *FINE_TUNED_HEAD,
    ),
    batch_norms=(*Backbone.batch_norms, 'block_0/local/edge_norm', 'block_0/local/mix_norm'),
)
