"""The merging methods by name, in one call."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Tree
from point_ft_jax.weight_space import deltas, layerwise, soups, spectra
from point_ft_jax.weight_space.arithmetic import same_form, soup

# (trees, options), (base, trees, options) and (base, tree, options) to a tree.
OF_TREES: dict[str, Callable[..., Tree]] = {
    'soup': soup,
    'greedy_soup': soups.greedy_soup,
    'ema': soups.ema,
}
FROM_A_BASE: dict[str, Callable[..., Tree]] = {
    'task_arithmetic': deltas.task_arithmetic,
    'magnitude_prune': deltas.magnitude_prune,
    'ties': deltas.ties,
    'dare': deltas.dare,
    'dare_ties': deltas.dare_ties,
    'model_stock': soups.model_stock,
}
OF_ONE: dict[str, Callable[..., Tree]] = {
    'lines': layerwise.lines,
    'mono_soup': spectra.mono_soup,
}
METHODS = OF_TREES | FROM_A_BASE | OF_ONE


def merge(
    trees: Sequence[Tree], method: str = 'soup', base: Tree | None = None, **options: Any
) -> Tree:
    """One tree made of several by a named method, in the leaves' own types.

    | method | what it is | needs |
    |---|---|---|
    | 'soup' | the (weighted) mean | |
    | 'greedy_soup' | the mean of those that improve a score | `score` |
    | 'ema' | the exponential moving average of a trajectory | |
    | 'task_arithmetic', 'magnitude_prune', 'ties', 'dare', 'dare_ties' | sums of changes | `base` |
    | 'model_stock' | the mean, drawn to the base where changes disagree | `base`, two trees |
    | 'lines', 'mono_soup' | one tree's change, scaled by layer or by spectrum | `base`, one tree |

    Args:
        trees: parameters (or statistics) of one form: nested dicts of arrays.
        method: see the table; the function of that name in `weight_space` has the equation, the
            paper and the options.
        base: the weights that all trees were fine-tuned from; the first three methods, which do
            not use it, only check its form.
        options: of the method, such as `density` or `weights`.

    Raises:
        UserError: an unknown method or option, no base or too few or many trees for the method,
            trees of different forms, or what the method refuses.

    Examples:
        >>> import numpy as np
        >>> base = {'x': np.zeros(3, np.float32)}
        >>> trees = [{'x': np.float32([2, 3, 1])}, {'x': np.float32([4, -1, 0])}]
        >>> merge(trees, 'ties', base, density=1)['x'].tolist()
        [3.0, 3.0, 1.0]
        >>> merge(trees, 'soup')['x'].tolist()
        [3.0, 1.0, 0.5]
    """
    if method not in METHODS:
        raise UserError(f'there is no merging method {method!r}; expected one of {_words(METHODS)}')
    trees = list(trees)
    _check_options(method, options)
    if method in OF_TREES:
        if base is not None and trees:
            same_form({'the base': base, 'tree 0': trees[0]})
        return METHODS[method](trees, **options)
    if base is None:
        raise UserError(f'{method} needs the weights before fine-tuning: give them as base')
    if method in FROM_A_BASE:
        return METHODS[method](base, trees, **options)
    if len(trees) != 1:
        raise UserError(
            f'{method} edits one tree and got {len(trees)}: merge them first, as by task_arithmetic'
        )
    return METHODS[method](base, trees[0], **options)


def _check_options(method: str, options: dict[str, Any]) -> None:
    """Raises UserError for an option that the method lacks, or needs and does not get."""
    given = inspect.signature(METHODS[method]).parameters
    known = {name: p for name, p in given.items() if name not in ('base', 'theta', 'thetas')}
    if unknown := [name for name in options if name not in known]:
        raise UserError(
            f'{method} has no option {unknown[0]!r}; expected one of {_words(known) or "none"}'
        )
    needed = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if needed:
        raise UserError(f'{method} needs the option {needed[0]!r}')


def _words(names: Sequence[str]) -> str:
    return ', '.join(names)
