"""Logits of a whole split, batch by batch, and what follows from them."""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, shard_batch, to_host
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
    computes before the first tuned layer is computed once.
    """

    def every(models: tuple[Variables, trees.Tree], *inputs: Any) -> Any:
        deltas, frozen = models

        def one(moving: trees.Tree, statistics: trees.Tree) -> Any:
            tree = {'params': trees.combine(moving, frozen), 'batch_stats': statistics}
            return run(tree, *inputs)

        axes = (0, trees.axes(deltas['batch_stats'], shared))
        found = jax.vmap(one, in_axes=axes)(deltas['params'], deltas['batch_stats'])
        return jax.tree.map(lambda array: array.swapaxes(0, 1), found)

    return in_batches(every, mesh, batch_size)


def in_batches(
    run: Callable[..., Any], mesh: Mesh, batch_size: int, axis: int = 0
) -> Callable[..., Any]:
    """`run(variables, *inputs)` for inputs of any length, on the host: trees of arrays [S, ...].

    The clouds of the results are along `axis`.

    It compiles once, for one batch; the last is filled up with copies of its last row.
    """
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
            for start in range(0, size, batch_size):
                rows = slice(start, start + batch_size)
                batch = jax.tree.map(lambda a, rows=rows: _fill(a[rows], batch_size), inputs)
                found.append(to_host(one(variables, *batch)))
        return jax.tree.map(lambda *parts: _joined(parts, size, axis), *found)

    return all_of


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
