"""Full fine-tuning: everything trains."""

from point_ft_jax.models.tuner import Method

METHOD = Method(trainable=('*',), identity_at_start=True, identity={})
