"""BitFit (Ben Zaken et al., ACL 2022, arXiv 2106.10199): of the backbone, only the biases train.

Never released for point clouds. Reconstructed: every bias there is, of linear maps, norms and the
tokenizer (the fused qkv has none), besides the head and class token: 307,983 parameters of
Point-MAE with 15 classes, the tables' 0.3M. Nothing is added: a tuned model costs what its backbone
does.
"""

from point_ft_jax.models.tuner import HEAD_AND_CLS, Method

METHOD = Method(trainable=('backbone/*/bias', *HEAD_AND_CLS), identity_at_start=True, identity={})
