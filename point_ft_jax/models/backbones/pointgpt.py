"""PointGPT (Chen et al., NeurIPS 2023, arXiv 2305.11487): S, B and L, read patch by patch.

29,232,335, 120,461,263 and 360,457,679 parameters with 15 classes, the generator and what is never
read among them. The variants are called small, base and large.

A step of PointGST on the large size, 8 clouds of 2,048 points, computed in bfloat16, takes 3,887
MiB as XLA compiles it for a CPU, of which 1,400 are arguments, the weights above all; with the
frozen kernels stored in bfloat16 too (train.frozen_dtype) 3,202 MiB, of which 715.

The published head reads the class token beside the patches' maximum; under the causal mask that
token is the same for every cloud. It is kept for parity: `readout=('patches_max',)` does without.
"""

from point_ft_jax.models.backbone import CLS, FINE_TUNED_HEAD, Backbone
from point_ft_jax.models.causal_transformer import TORCH_NAMES, CausalTransformer

LARGE_TOKENIZER = {'tokenizer_widths': (256, 512, 1024, 2048)}

BACKBONE = Backbone(
    build=CausalTransformer,
    variants={
        'base': {'width': 768, 'heads': 12, **LARGE_TOKENIZER},
        'large': {'width': 1024, 'depth': 24, 'heads': 16, **LARGE_TOKENIZER},
        'small': {},
        'tiny': {'width': 192, 'heads': 3},
    },
    readout=('cls', 'patches_max'),
    head={'module': 'blocks.cls_head_finetune'},
    torch_names=TORCH_NAMES,
    conv=('encoder.*', 'blocks.increase_dim.*', 'generator_blocks.increase_dim.*'),
    prefixes=('GPT_Transformer.', 'base_model.'),
    may_lack=(*CLS, 'blocks.cls_norm.*'),
    leaves=('blocks.cls_head_finetune.*', *FINE_TUNED_HEAD),
    pretraining={'global_tokens': ()},
    autoencoder='generative',
)
