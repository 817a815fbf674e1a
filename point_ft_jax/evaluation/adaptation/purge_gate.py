"""Purge-Gate: at test time the tokens that fit worst are left out, without any gradient.

Purge-Gate, ICCV 2025, in both its forms. Source-free (PG-SF): what fits is what the class token of
the first block looks for. With source prototypes (PG-SP): what fits is what is like the tokens of
the clouds that the model was trained on.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.evaluation import inference
from point_ft_jax.evaluation.inference import Predict
from point_ft_jax.models.point_transformer import PointTransformer
from point_ft_jax.models.readout import read_out
from point_ft_jax.models.tokens import Tokens

FIRST = ('block_0', 'attention', 'qkv')
SMALL = 1e-6  # added to deviations
Distances = Callable[[nn.Module, Variables, Array], Array]


def make_predict(
    module: nn.Module, mesh: Mesh, batch_size: int, *, purged: Sequence[int] = (0, 2, 4, 8)
) -> Predict:
    """A function of variables and points [S, n, 3] to logits [S, C] without what fits worst.

    A patch's distance is 1 less the cosine of the first block's query of the class token and the
    patch's key there, all heads side by side. For every number in `purged` the farthest patches
    are left out before that block, and of each cloud those logits are kept that have the lowest
    entropy. With `purged=(0,)` it is plain evaluation.

    Args:
        module: the classifier.
        mesh: the devices.
        batch_size: clouds at once.
        purged: how many patches to leave out; different numbers below the number of groups.

    Raises:
        UserError: numbers out of range, or a model of several levels or without a class token.
    """
    _check(module, purged)
    run = functools.partial(_surest, module, sorted(set(purged)), token_distances)
    return inference.in_batches(run, mesh, batch_size)


def make_predict_by_source(
    module: nn.Module,
    mesh: Mesh,
    batch_size: int,
    *,
    source: np.ndarray,
    purged: Sequence[int] = (0, 2, 4, 8),
) -> Predict:
    """A function of variables and points [S, n, 3] to logits [S, C] without what is least known.

    A patch's distance is that of its token, with its position and standardised over the channels,
    from the mean of the source's, channel by channel in units of the source's deviation. All else
    is as in `make_predict`.

    Args:
        module, mesh, batch_size, purged: see `make_predict`.
        source: [S, n, 3], prepared clouds that the model was trained on.

    Raises:
        UserError: see `make_predict`; or no source clouds.
    """
    _check(module, purged)
    if not len(source):
        raise UserError('purge_gate_sp has no source clouds to compare with; expected one or more')
    moments, run = _by_source(module, mesh, batch_size, tuple(sorted(set(purged))))

    def predict(variables: Variables, points: np.ndarray) -> np.ndarray:
        found = moments(variables, source)
        mean = found['mean'].mean(axis=0)
        deviation = np.sqrt(np.maximum(found['square'].mean(axis=0) - mean**2, 0))
        return run((variables, mean, deviation), points)

    return predict


@functools.cache
def _by_source(
    module: nn.Module, mesh: Mesh, batch_size: int, counts: tuple[int, ...]
) -> tuple[Callable, Callable]:
    """The two programs of PG-SP, which other source clouds share."""

    def moments(variables: Variables, points: Array) -> dict[str, Array]:
        tokens = entering_tokens(module, variables, points)
        return {'mean': tokens.mean(axis=1), 'square': jnp.square(tokens).mean(axis=1)}

    def surest(given: tuple[Variables, Array, Array], points: Array) -> Array:
        variables, mean, deviation = given

        def distances(module: nn.Module, variables: Variables, points: Array) -> Array:
            return source_distances(entering_tokens(module, variables, points), mean, deviation)

        return _surest(module, counts, distances, variables, points)

    return tuple(inference.in_batches(run, mesh, batch_size) for run in (moments, surest))


def _check(module: nn.Module, purged: Sequence[int]) -> None:
    backbone = module.backbone
    plain = type(backbone).__call__ is PointTransformer.__call__
    if not plain or not backbone.global_tokens:
        raise UserError(
            'purge_gate leaves patches of one level out, by a class token, and '
            f'{type(backbone).__name__} has several levels, an order of its patches, or no such '
            'token; expected a plain transformer such as Point-MAE or ReCon'
        )
    groups = backbone.num_groups
    if not purged or not all(0 <= n < groups for n in purged):
        raise UserError(f'purged is {purged}; expected one or more numbers in 0..{groups - 1}')


def _surest(
    module: nn.Module,
    counts: Sequence[int],
    measure: Distances,
    variables: Variables,
    points: Array,
) -> Array:
    """Of every cloud the logits of lowest entropy, over numbers of tokens left out."""
    every = []
    distances = measure(module, variables, points) if max(counts) else None
    for count in counts:
        admit = None
        if count:
            kept = jnp.sort(jnp.argsort(distances, axis=1)[:, : distances.shape[1] - count], axis=1)
            admit = functools.partial(_take, kept.astype(jnp.int32))
        every.append(module.apply(variables, points, admit, method=_logits))
    stacked = jnp.stack(every, axis=1)
    log = jax.nn.log_softmax(stacked)
    entropies = -(jnp.exp(log) * log).sum(axis=-1)
    return jnp.take_along_axis(stacked, entropies.argmin(axis=1)[:, None, None], axis=1)[:, 0]


def _logits(classifier: nn.Module, points: Array, admit: Callable | None) -> Array:
    tokens = classifier.backbone.encode(points, classifier.tuner, False, admit)
    return classifier.head(read_out(tokens, classifier.readout), False)


def _take(kept: Array, tokens: Tokens) -> Tokens:
    if tokens.memo:
        raise UserError(
            'purge_gate leaves patches out, and this tuning method has computed something from all '
            'of them before the first block; evaluate it without'
        )
    return tokens.take(kept)


def token_distances(module: nn.Module, variables: Variables, points: Array) -> Array:
    """[B, G], how badly each patch fits: 1 - cosine of the class token's query and its key.

    Of the first block, with positions, after its norm, and as the model's tuner makes them.
    """
    found: list[Array] = []

    def listen(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        if context.method_name == 'layer' and args[0].path[-len(FIRST) :] == FIRST:
            found.append(output)
        return output

    with nn.intercept_methods(listen):
        module.apply(variables, points, method='features')
    if not found:
        raise UserError('purge_gate needs the fused queries and keys of the first block')
    qkv = found[-1]  # of nested calls, the outermost ends last
    width, groups = qkv.shape[-1] // 3, module.backbone.num_groups
    query, keys = qkv[:, :1, :width], qkv[:, -groups:, width : 2 * width]
    norms = jnp.linalg.norm(query, axis=-1) * jnp.linalg.norm(keys, axis=-1)
    return 1 - (query * keys).sum(axis=-1) / jnp.maximum(norms, 1e-12)


def entering_tokens(module: nn.Module, variables: Variables, points: Array) -> Array:
    """[B, G, D], the patches that enter the first block, each standardised over its channels."""
    found: list[Tokens] = []

    def listen(tokens: Tokens) -> Tokens:
        found.append(tokens)
        return tokens

    module.apply(variables, points, listen, method=_logits)
    x = found[0].settle().patches
    return (x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, ddof=1, keepdims=True) + SMALL)


def source_distances(tokens: Array, mean: Array, deviation: Array) -> Array:
    """[B, G], how far tokens [B, G, D] are from a mean [D], in units of the deviation [D]."""
    return jnp.linalg.norm((tokens - mean[None, None]) / (deviation[None, None] + SMALL), axis=-1)
