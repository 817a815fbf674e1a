"""Arithmetic on trees of weights: interpolation, soups, task vectors, distances, grafts.

All of it is plain functions of nested dicts of arrays; none knows a model, none changes its
arguments. A tree may be parameters, batch statistics, or both below one root. Two trees must have
the same paths, shapes and types.

    >>> import numpy as np
    >>> from point_ft_jax import weight_space
    >>> theta0 = {'block_0': {'kernel': np.zeros(2, np.float32)}, 'norm': {'bias': np.ones(1)}}
    >>> theta1 = {'block_0': {'kernel': np.full(2, 4, np.float32)}, 'norm': {'bias': np.zeros(1)}}
    >>> weight_space.interpolate(theta0, theta1, 0.25)['block_0']['kernel'].tolist()
    [1.0, 1.0]
    >>> halves = weight_space.interpolate(theta0, theta1, {'block_*': 0.5, '*': 0.0})
    >>> halves['block_0']['kernel'].tolist(), halves['norm']['bias'].tolist()
    ([2.0, 2.0], [1.0])
    >>> weight_space.distance(theta0, theta1)
    {'block_0': 5.656854249492381, 'norm': 1.0}

Ensembling in weight space is Wortsman et al., WiSE-FT (CVPR 2022, arXiv 2109.01903) and model soups
(ICML 2022, arXiv 2203.05482); task vectors are Ilharco et al. (ICLR 2023, arXiv 2212.04089).
"""

import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Tree, flatten, map_paths, matches

Alpha = float | Mapping[str, float]


def interpolate(theta0: Tree, theta1: Tree, alpha: Alpha, *, extrapolate: bool = False) -> Tree:
    """(1 - alpha) theta0 + alpha theta1, leaf by leaf, in the leaves' own types.

    At 0 and at 1 the result has the bits of `theta0` and of `theta1`, and where the two agree it
    has theirs. In types shorter than float32 the arithmetic is float32's. A traced `alpha` is
    allowed, under `jit` and `vmap`; its range is not checked then.

    Args:
        theta0: the end at 0.
        theta1: the end at 1.
        alpha: a number in 0..1; or one for each layer: patterns (`fnmatch`, '*' crosses '/') over
            paths to numbers, of which the first that fits a path counts.
        extrapolate: allow numbers outside 0..1.

    Raises:
        UserError: trees that differ in structure, shapes or types, a number out of range, a path
            that no pattern fits, a pattern that fits no path.

    Examples:
        >>> a, b = {'x': np.float32([0, 10])}, {'x': np.float32([1, 30])}
        >>> interpolate(a, b, 0.5)['x'].tolist()
        [0.5, 20.0]
        >>> interpolate(a, b, 2, extrapolate=True)['x'].tolist()
        [2.0, 50.0]
    """
    same_form({'theta0': theta0, 'theta1': theta1})
    alphas = _alphas(theta0, alpha, extrapolate)
    return jax.tree.map(_between, theta0, theta1, alphas)


def along(
    theta0: Tree, theta1: Tree, alphas: Sequence[float], *, extrapolate: bool = False
) -> Tree:
    """The interpolations at several numbers, stacked: every leaf [A, ...], to `vmap` a model over.

    Each is, to the bit, what `interpolate` gives.

    Raises:
        UserError: no alpha, one out of range, or trees that differ in form.

    Examples:
        >>> along({'x': np.float32([0])}, {'x': np.float32([8])}, (0, 0.25, 1))['x'].tolist()
        [[0.0], [2.0], [8.0]]
    """
    found = [interpolate(theta0, theta1, float(a), extrapolate=extrapolate) for a in alphas]
    if not found:
        raise UserError('no alpha is given: expected one or more numbers')
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


def soup(thetas: Sequence[Tree], weights: Sequence[float] | None = None) -> Tree:
    """The weighted mean of trees; without `weights` the plain mean.

    Weights are used in proportion: (1, 3) are a quarter and three quarters.

    Raises:
        UserError: no tree, trees of different forms, or weights that do not fit.

    Examples:
        >>> soup([{'x': np.float32([0, 3])}, {'x': np.float32([6, 9])}])['x'].tolist()
        [3.0, 6.0]
        >>> two = [{'x': np.float32([0, 4])}, {'x': np.float32([4, 0])}]
        >>> soup(two, weights=(1, 3))['x'].tolist()
        [3.0, 1.0]
    """
    weights = [1.0] * len(thetas) if weights is None else [float(w) for w in weights]
    problems = [] if thetas else ['no tree is given; expected one or more']
    if len(weights) != len(thetas):
        problems.append(f'{len(weights)} weights for {len(thetas)} trees; expected one each')
    if thetas and not 0 < sum(weights) < np.inf:
        problems.append(f'the weights {weights} sum to {sum(weights)}; expected a number above 0')
    raise_all(problems, 'cannot average these trees:')
    same_form({f'tree {i}': theta for i, theta in enumerate(thetas)})
    shares = [w / sum(weights) for w in weights]

    def mean(*leaves: jax.Array) -> jax.Array:
        first, *rest = [share * _wide(leaf) for share, leaf in zip(shares, leaves, strict=True)]
        return _narrow(sum(rest, first), leaves[0])

    return jax.tree.map(mean, *thetas)


def task_vector(theta0: Tree, theta1: Tree) -> Tree:
    """theta1 - theta0: what fine-tuning changed; `add` and `scale` are its arithmetic.

    Raises:
        UserError: trees that differ in form.

    Examples:
        >>> a, b = {'x': np.float32([1, 1])}, {'x': np.float32([3, 0])}
        >>> task_vector(a, b)['x'].tolist()
        [2.0, -1.0]
        >>> add(a, scale(task_vector(a, b), -1))['x'].tolist()  # to unlearn the task
        [-1.0, 2.0]
    """
    same_form({'theta0': theta0, 'theta1': theta1})
    return jax.tree.map(lambda a, b: _narrow(_wide(b) - _wide(a), a), theta0, theta1)


def add(theta: Tree, *vectors: Tree) -> Tree:
    """The sum of trees: weights and task vectors, or task vectors alone.

    Raises:
        UserError: trees that differ in form.

    Examples:
        >>> one, two, four = ({'x': np.float32([number])} for number in (1, 2, 4))
        >>> add(one, two, four)['x'].tolist()
        [7.0]
    """
    same_form({'the first': theta, **{f'vector {i}': v for i, v in enumerate(vectors, 1)}})
    return jax.tree.map(
        lambda first, *rest: _narrow(sum(map(_wide, rest), _wide(first)), first),
        theta,
        *vectors,
    )


def scale(vector: Tree, factor: float) -> Tree:
    """A task vector times a number: less of the task, more, or (below 0) its opposite.

    Examples:
        >>> scale({'x': np.float32([2, -1])}, -0.5)['x'].tolist()
        [-1.0, 0.5]
    """
    return jax.tree.map(lambda leaf: _narrow(factor * _wide(leaf), leaf), vector)


def distance(theta0: Tree, theta1: Tree, *, relative: bool = False) -> dict[str, float]:
    """The Euclidean distance of two trees, block by block: {block: distance}, in tree order.

    A block is a `block_N` (with the level that it is of) or else a part by its name, such as
    'backbone/tokenizer'. `relative` divides by the norm of theta0's block (infinity for zero).

    Examples:
        >>> a = {'tokenizer': {'bias': np.zeros(2)}, 'block_0': {'bias': np.full(1, 2.0)}}
        >>> b = {'tokenizer': {'bias': np.ones(2)}, 'block_0': {'bias': np.full(1, 5.0)}}
        >>> distance(a, b)
        {'block_0': 3.0, 'tokenizer': 1.4142135623730951}
        >>> distance(a, b, relative=True)
        {'block_0': 1.5, 'tokenizer': inf}
    """
    same_form({'theta0': theta0, 'theta1': theta1})
    squares: dict[str, float] = {}
    norms: dict[str, float] = {}
    after = flatten(theta1)
    for path, leaf in flatten(theta0).items():
        a, b = np.asarray(leaf, np.float64), np.asarray(after[path], np.float64)
        block = block_of(path)
        squares[block] = squares.get(block, 0.0) + float(np.square(b - a).sum())
        norms[block] = norms.get(block, 0.0) + float(np.square(a).sum())
    found = {block: square**0.5 for block, square in squares.items()}
    if not relative:
        return found
    return {
        block: change / norms[block] ** 0.5 if norms[block] else change and np.inf
        for block, change in found.items()
    }


_BLOCK = re.compile(r'((?:backbone|tuner|head)/)?(level_\d+[/.])?(block_\d+|[^/]+)')


def block_of(path: str) -> str:
    """The block that a leaf is of, for `distance`.

    Examples:
        >>> block_of('backbone/level_1/block_3/mlp/fc1/kernel')
        'backbone/level_1/block_3'
        >>> block_of('tuner/block_3.mlp.fc1/gamma'), block_of('backbone/tokenizer/first_0/bias')
        ('tuner/block_3', 'backbone/tokenizer')
    """
    return _BLOCK.match(path)[0]


def graft(theta: Tree, donor: Tree, patterns: Sequence[str]) -> Tree:
    """`theta` with the leaves whose paths match `patterns` taken from `donor`.

    Raises:
        UserError: trees of different forms, or patterns of which one matches nothing.

    Examples:
        >>> graft({'a': np.zeros(1), 'b': np.zeros(1)}, {'a': np.ones(1), 'b': np.ones(1)}, ['b'])
        {'a': array([0.]), 'b': array([1.])}
    """
    same_form({'theta': theta, 'donor': donor})
    _check_patterns(theta, patterns)
    given = flatten(donor)
    return map_paths(lambda path, leaf: given[path] if matches(path, patterns) else leaf, theta)


def at_identity(tuner: Tree, identity: Mapping[str, float] | str) -> Tree:
    """The pre-trained end of a tuned delta: `tuner` with the values at which it does nothing.

    A tuner has no pre-trained weights, but most have values that leave the backbone as it was: an
    adapter whose output map is 0, a scale of 1 and a shift of 0. Only those leaves are set; the
    others stay as tuned, so that an interpolation scales one factor of a product, not both (of
    LoRA's up and down, both at alpha would be alpha squared).

    Args:
        tuner: the tuned parameters.
        identity: patterns over their paths to values; `Method.identity`. A reason, if none exists.

    Raises:
        UserError: the reason, or a pattern that fits no path.

    Examples:
        >>> tuned = {'qkv': {'down': np.float32([2]), 'up': np.float32([6])}}
        >>> start = at_identity(tuned, {'*/up': 0})
        >>> {k: float(v[0]) for k, v in interpolate(start, tuned, 0.5)['qkv'].items()}
        {'down': 2.0, 'up': 3.0}
    """
    if isinstance(identity, str):
        raise UserError(f'this tuner has no pre-trained end to interpolate from: {identity}')
    _check_patterns(tuner, tuple(identity))

    def value(path: str, leaf: jax.Array) -> jax.Array:
        for pattern, number in identity.items():
            if matches(path, [pattern]):
                return jnp.full_like(leaf, number)
        return leaf

    return map_paths(value, tuner)


def same_form(trees: Mapping[str, Tree]) -> None:
    """Raises UserError unless the trees, keyed by what to call them, agree in form.

    The message lists what one has and the other lacks, and the leaves of other shapes or types.
    """
    names = list(trees)
    first = _forms(trees[names[0]])
    problems = []
    for name in names[1:]:
        other = _forms(trees[name])
        for here, there, who in ((first, other, names[0]), (other, first, name)):
            problems += [f'{path}: only in {who}' for path in here if path not in there]
        problems += [
            f'{path}: {_form(first[path])} in {names[0]}, {_form(other[path])} in {name}'
            for path in first
            if path in other and other[path] != first[path]
        ]
    if len(problems) > 12:
        problems = [*problems[:12], f'and {len(problems) - 12} more']
    raise_all(problems, 'these trees are not of the same model:')


def _forms(tree: Tree) -> dict[str, tuple]:
    return {path: (tuple(a.shape), str(a.dtype)) for path, a in flatten(tree).items()}


def _form(form: tuple) -> str:
    return f'{form[1]}{list(form[0])}'


def _alphas(tree: Tree, alpha: Alpha, extrapolate: bool) -> Tree:
    """The number of every leaf, checked."""
    if not isinstance(alpha, Mapping):
        alpha = {'*': alpha}
    _check_patterns(tree, tuple(alpha))
    numbers = {k: v for k, v in alpha.items() if not isinstance(v, jax.core.Tracer)}
    wrong = [v for v in numbers.values() if not _is_number(v)]
    outside = wrong or [v for v in numbers.values() if not 0 <= v <= 1]
    if wrong or (outside and not (extrapolate and np.isfinite(outside).all())):
        raise UserError(
            f'alpha is {outside[0]}; expected a number in 0..1 (0 gives theta0, 1 theta1), or '
            'extrapolate=True'
        )

    def number(path: str, _: jax.Array) -> jax.Array:
        for pattern, value in alpha.items():
            if matches(path, [pattern]):
                return jnp.asarray(value, jnp.float32)
        raise UserError(f"no pattern of alpha fits {path}: add '*' for all that is left")

    return map_paths(number, tree)


def _is_number(value: object) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in 'biuf'


def _check_patterns(tree: Tree, patterns: Sequence[str]) -> None:
    paths = flatten(tree)
    idle = [p for p in patterns if not any(matches(path, [p]) for path in paths)]
    if idle:
        raise UserError(
            f'{", ".join(map(repr, idle))} fits no path; there are {", ".join(list(paths)[:6])}'
            + (' …' if len(paths) > 6 else '')
        )


def _between(a: jax.Array, b: jax.Array, alpha: jax.Array) -> jax.Array:
    """a + alpha (b - a), with the bits of a and b at the ends."""
    mixed = _narrow(_wide(a) + alpha * (_wide(b) - _wide(a)), a)
    return jnp.where(alpha == 0, a, jnp.where(alpha == 1, b, mixed))


def _wide(leaf: jax.Array) -> jax.Array:
    """The leaf in float32 at least."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _narrow(value: jax.Array, like: jax.Array) -> jax.Array:
    """The value in the type of a leaf."""
    return value.astype(jnp.result_type(like))
