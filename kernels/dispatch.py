"""Which implementation of an operation runs: chosen by the platform that is compiled for."""

import os
from collections.abc import Callable, Mapping

import jax

AUTO = 'auto'
VARIABLE = 'POINT_FT_JAX_BACKEND'


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
        return jax.lax.platform_dependent(*args, **platforms, default=implementations['xla'])
    if backend not in implementations:
        raise ValueError(
            f'{operation}: no backend {backend!r}; expected {AUTO!r} or one of '
            f'{", ".join(sorted(implementations))}'
        )
    return implementations[backend](*args)


def check_cloud(operation: str, name: str, points: jax.Array) -> None:
    """Raises ValueError at trace time unless `points` is floating, [B, N, 3] and not empty."""
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f'{operation}: {name} is {points.shape}; expected [B, N, 3] with N > 0')
    if not jax.numpy.issubdtype(points.dtype, jax.numpy.floating):
        raise ValueError(f'{operation}: {name} is {points.dtype}; expected a floating type')
