"""Arithmetic on trees of parameters: interpolation, soups, task vectors, Fisher weights."""

from point_ft_jax.weight_space.arithmetic import (
    add,
    along,
    distance,
    graft,
    interpolate,
    scale,
    soup,
    task_vector,
)
from point_ft_jax.weight_space.fisher import fisher, fisher_interpolate

__all__ = [
    'add',
    'along',
    'distance',
    'fisher',
    'fisher_interpolate',
    'graft',
    'interpolate',
    'scale',
    'soup',
    'task_vector',
]
