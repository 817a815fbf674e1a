"""Full fine-tuning: everything trains."""

from point_ft_jax.models.method import Method

METHOD = Method(trainable=('*',), identity_at_start=True, identity={})
