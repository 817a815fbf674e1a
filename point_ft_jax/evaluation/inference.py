"""Logits of a whole split, batch by batch, and what follows from them."""

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, shard_batch, to_host
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.sampling import check_points, for_testing

Predict = Callable[[Variables, np.ndarray], np.ndarray]


def make_predict(
    module: nn.Module, mesh: Mesh, batch_size: int, method: str | None = None
) -> Predict:
    """A function of variables and prepared points [S, n, 3] to logits [S, C]; see `in_batches`.

    `method` is another method of the module than its call: 'features' gives what the head sees.
    """
    return in_batches(functools.partial(module.apply, method=method), mesh, batch_size)


def all_in_batches(
    run: Callable[..., Any], mesh: Mesh, batch_size: int, shared: Collection[str] = ()
) -> Callable[..., Any]:
    """`run(variables, *inputs)` of many tuned models, as `in_batches`: trees of arrays [S, K, ...].

    In the place of variables stand K deltas and the frozen half that they share. The deltas are one
    tree: 'params' is the trainable half, 'batch_stats' the statistics, each stacked by
    `trees.stack`; `shared` names the parts of the statistics that are not. What the frozen half
    computes before the first tuned layer is computed once. Results are not checked, see `problem`.
    """

    def every(models: tuple[Variables, trees.Tree], *inputs: Any) -> Any:
        deltas, frozen = models

        def one(moving: trees.Tree, statistics: trees.Tree) -> Any:
            tree = {'params': trees.combine(moving, frozen), 'batch_stats': statistics}
            return run(tree, *inputs)

        axes = (0, trees.axes(deltas['batch_stats'], shared))
        found = jax.vmap(one, in_axes=axes)(deltas['params'], deltas['batch_stats'])
        return jax.tree.map(lambda array: array.swapaxes(0, 1), found)

    return in_batches(every, mesh, batch_size, check=False)


def in_batches(
    run: Callable[..., Any], mesh: Mesh, batch_size: int, axis: int = 0, check: bool = True
) -> Callable[..., Any]:
    """`run(variables, *inputs)` for inputs of any length, on the host: trees of arrays [S, ...].

    The clouds of the results are along `axis`.

    It compiles once, for one batch; the last is filled up with copies of its last row.

    The function raises UserError for results that are not finite, of which nothing can be made,
    unless `check` is False.
    """
    if batch_size < 1:
        raise UserError(f'batch_size is {batch_size}; expected 1 or more')
    batch_size = -(-batch_size // mesh.size) * mesh.size

    @functools.partial(
        jax.jit,
        out_shardings=NamedSharding(mesh, PartitionSpec()),
        compiler_options=compiler_options(),
    )
    def one(variables: Any, *inputs: Any) -> Any:
        return run(variables, *jax.tree.map(lambda a: shard_batch(mesh, a), inputs))

    def all_of(variables: Any, *inputs: Any) -> Any:
        size = len(jax.tree.leaves(inputs)[0])
        found = []
        with jax.set_mesh(mesh):
            for start in _shown(range(0, size, batch_size)):
                rows = slice(start, start + batch_size)
                batch = jax.tree.map(lambda a, rows=rows: _fill(a[rows], batch_size), inputs)
                found.append(to_host(one(variables, *batch)))
        joined = jax.tree.map(lambda *parts: _joined(parts, size, axis), *found)
        if check and (said := problem(joined, axis)):
            raise UserError(said)
        return joined

    return all_of


SILENCE = 15.0  # seconds after which a loop over batches shows how far it is
PAUSE = 30.0  # between two lines outside a terminal


def _shown(starts: range) -> Iterable[int]:
    """The starts of batches, with a bar where they take long."""
    terminal = sys.stderr.isatty()
    return tqdm(
        starts,
        desc='batches of clouds',
        unit='batch',
        delay=SILENCE,
        leave=False,
        mininterval=0.1 if terminal else PAUSE,
        maxinterval=10.0 if terminal else PAUSE,
        disable=jax.process_index() != 0,
    )


def problem(found: Any, axis: int = 0) -> str:
    """What to say of results with NaN or infinities; '' for none. Clouds are along `axis`."""
    for leaf in jax.tree.leaves(found):
        if np.issubdtype(leaf.dtype, np.integer) or leaf.dtype == bool:
            continue
        others = tuple(i for i in range(leaf.ndim) if i != axis)
        if not (finite := np.isfinite(leaf).all(others)).all():
            return (
                f'what the model answers is not finite for {int((~finite).sum())} of '
                f'{len(finite)} clouds, the first of them cloud {int(finite.argmin())}: its '
                'weights, or the points of these clouds, are out of all range (see point-ft '
                'inspect and point-ft check_data)'
            )
    return ''


def _joined(parts: Sequence[np.ndarray], size: int, axis: int) -> np.ndarray:
    """The first `size` rows of the parts, along `axis`."""
    return np.concatenate(parts, axis)[(slice(None),) * axis + (slice(size),)]


def prepare(points: np.ndarray, num_points: int, batch_size: int = 64) -> np.ndarray:
    """The stored clouds [S, N, 3] as the model is tested on them, [S, num_points, 3].

    Raises:
        UserError: the clouds have fewer points.
    """
    check_points(num_points, points.shape[1])
    batch_size = min(batch_size, len(points))
    resample = jax.jit(lambda batch: for_testing(batch, num_points))
    parts = [
        np.asarray(resample(_fill(points[start : start + batch_size], batch_size)))
        for start in range(0, len(points), batch_size)
    ]
    return np.concatenate(parts)[: len(points)]


def _fill(array: np.ndarray, size: int) -> np.ndarray:
    """[s, ...] to [size, ...], repeating the last row."""
    missing = size - len(array)
    return array if not missing else np.concatenate([array, array[-1:].repeat(missing, 0)])
