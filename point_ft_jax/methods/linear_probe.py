"""Probing: the head trains, on a frozen backbone.

As in the published tables, the class token and its position train too, and the head may have hidden
layers ("MLP-3"); `config.head.widths = ()` makes it linear.
"""

from point_ft_jax.models.tuner import HEAD_AND_CLS, Method

METHOD = Method(trainable=HEAD_AND_CLS, identity_at_start=True, identity={})
