"""Which implementation of an operation runs: chosen by the platform that is compiled for."""

import functools
import os
from collections.abc import Callable, Mapping

import jax

AUTO = 'auto'
VARIABLE = 'POINT_FT_JAX_BACKEND'
DATA_AXIS = 'data'  # the mesh axis that batches of clouds are spread over


def dispatch(
    operation: str, implementations: Mapping[str, Callable], backend: str, *args: jax.Array
) -> jax.Array | tuple[jax.Array, ...]:
    """Runs one of an operation's implementations on `args`.

    `implementations` maps 'reference' (the definition, in pure JAX), 'xla' (fast everywhere) and
    optionally a platform's own: 'cpu', 'cuda' or 'tpu'. With `backend='auto'` the platform decides
    when the program is lowered, so that a program compiled ahead of time for another machine gets
    that machine's code; any other value forces that implementation. The environment variable
    POINT_FT_JAX_BACKEND replaces 'auto'.

    Raises:
        ValueError: no implementation of that name.
    """
    backend = os.environ.get(VARIABLE, AUTO) if backend == AUTO else backend
    if backend == AUTO:
        platforms = {p: f for p, f in implementations.items() if p in ('cpu', 'cuda', 'tpu')}
        run = functools.partial(
            jax.lax.platform_dependent, **platforms, default=implementations['xla']
        )
    elif backend in implementations:
        run = implementations[backend]
    else:
        raise ValueError(
            f'{operation}: no backend {backend!r}; expected {AUTO!r} or one of '
            f'{", ".join(sorted(implementations))}'
        )
    return _per_device(run, *args)


def _per_device(run: Callable, *args: jax.Array) -> jax.Array | tuple[jax.Array, ...]:
    """`run` on each device's own clouds, where the batch is spread over a mesh's axis 'data'.

    The compiler would gather all clouds for a loop over chunks of them, and can't split a kernel.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or DATA_AXIS not in mesh.axis_names or DATA_AXIS in mesh.manual_axes:
        return run(*args)
    if mesh.shape[DATA_AXIS] == 1 or args[0].shape[0] % mesh.shape[DATA_AXIS]:
        return run(*args)
    spec = jax.sharding.PartitionSpec(DATA_AXIS)
    return jax.shard_map(run, in_specs=spec, out_specs=spec, check_vma=False)(*args)


def check_cloud(operation: str, name: str, points: jax.Array) -> None:
    """Raises ValueError at trace time unless `points` is floating, [B, N, 3] and not empty."""
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f'{operation}: {name} is {points.shape}; expected [B, N, 3] with N > 0')
    if not jax.numpy.issubdtype(points.dtype, jax.numpy.floating):
        raise ValueError(f'{operation}: {name} is {points.dtype}; expected a floating type')
