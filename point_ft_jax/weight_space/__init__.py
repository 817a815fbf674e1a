"""Arithmetic on trees of parameters: interpolation, soups, task vectors, merging, Fisher."""

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
from point_ft_jax.weight_space.deltas import (
    dare,
    dare_ties,
    elect,
    magnitude_prune,
    task_arithmetic,
    ties,
    trim,
)
from point_ft_jax.weight_space.fisher_information import fisher, fisher_interpolate
from point_ft_jax.weight_space.layerwise import choose_alphas, layers_of, lines
from point_ft_jax.weight_space.merges import merge
from point_ft_jax.weight_space.soups import ema, greedy_members, greedy_soup, model_stock
from point_ft_jax.weight_space.spectra import mono_soup

__all__ = [
    'add',
    'along',
    'choose_alphas',
    'dare',
    'dare_ties',
    'distance',
    'elect',
    'ema',
    'fisher',
    'fisher_interpolate',
    'graft',
    'greedy_members',
    'greedy_soup',
    'interpolate',
    'layers_of',
    'lines',
    'magnitude_prune',
    'merge',
    'model_stock',
    'mono_soup',
    'scale',
    'soup',
    'task_arithmetic',
    'task_vector',
    'ties',
    'trim',
]
