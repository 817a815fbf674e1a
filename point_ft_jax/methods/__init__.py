"""Tuning methods, one file each; `merge` folds a tuner into its backbone."""

from point_ft_jax.methods._merging import merge

__all__ = ['merge']
