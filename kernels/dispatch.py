"""Which implementation of an operation runs: chosen by the platform that is compiled for."""

import contextlib
import contextvars
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping

import jax

AUTO = 'auto'
VARIABLE = 'POINT_FT_JAX_BACKEND'
CAPABILITY = 'POINT_FT_JAX_COMPUTE_CAPABILITY'
DATA_AXIS = 'data'  # the mesh axis that batches of clouds are spread over

Arrays = jax.Array | tuple[jax.Array, ...]
_default = contextvars.ContextVar('backend', default=AUTO)


@contextlib.contextmanager
def with_backend(name: str) -> Iterator[None]:
    """What is traced inside takes this implementation where nothing else is said.

    A program for several platforms at once takes 'xla', which all of them compile.
    """
    token = _default.set(name)
    try:
        yield
    finally:
        _default.reset(token)


@dataclasses.dataclass(frozen=True)
class Implementation:
    """One way to compute an operation.

    Attributes:
        run: computes it.
        platform: where it is the best one, 'cpu', 'cuda' or 'tpu'; '' for nowhere in particular.
        refusal: why it can't be used here; '' if it can.
        known: whether the machine is known to run it; if not, it runs only when forced.
    """

    run: Callable[..., Arrays]
    platform: str = ''
    refusal: str = ''
    known: bool = True


def dispatch(
    operation: str, implementations: Mapping[str, Implementation], backend: str, *args: jax.Array
) -> Arrays:
    """Runs one of an operation's implementations on `args`, each [B, ...].

    `implementations` has 'reference' (the definition, in pure JAX), 'xla' (fast everywhere), and
    those made for a platform. With `backend='auto'` the platform decides when the program is
    lowered, so that a program compiled ahead of time for another machine gets that machine's code;
    any other value forces that implementation. The environment variable POINT_FT_JAX_BACKEND
    replaces 'auto'.

    Where the mesh (`jax.set_mesh`) has an axis 'data', each device computes its own clouds. A batch
    that this axis does not divide is 'xla's, since no compiler can split a kernel.

    Raises:
        ValueError: no implementation of that name, or it can't be used here; says why.
    """
    if backend == AUTO:
        backend = _default.get()
    if backend == AUTO:
        backend = os.environ.get(VARIABLE, AUTO)
    devices = _devices()
    divides = args[0].shape[0] % devices == 0
    if backend == AUTO:
        run = _by_platform(implementations) if divides else implementations['xla'].run
    elif backend not in implementations:
        raise ValueError(
            f'{operation}: no backend {backend!r}; expected {AUTO!r} or one of '
            f'{", ".join(sorted(implementations))}'
        )
    elif refusal := implementations[backend].refusal:
        raise ValueError(f'{operation}: backend {backend!r} {refusal}; {AUTO!r} and "xla" can')
    else:
        run = implementations[backend].run
    if devices == 1 or not divides:
        return run(*args)
    spec = jax.sharding.PartitionSpec(DATA_AXIS)
    return jax.shard_map(run, in_specs=spec, out_specs=spec, check_vma=False)(*args)


def _by_platform(implementations: Mapping[str, Implementation]) -> Callable[..., Arrays]:
    chosen = {
        i.platform: i.run
        for i in implementations.values()
        if i.platform and i.known and not i.refusal
    }

    def run(*args: jax.Array) -> Arrays:
        return jax.lax.platform_dependent(*args, **chosen, default=implementations['xla'].run)

    return run


def _devices() -> int:
    """Over how many devices the batch is spread here: 1 inside a `shard_map` over them."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or DATA_AXIS not in mesh.axis_names or DATA_AXIS in mesh.manual_axes:
        return 1
    return mesh.shape[DATA_AXIS]


def compute_capability() -> float | None:
    """The least of this process's GPUs, 9.0 for an H100 or H200; 0.0 for those of other makers.

    None where there is none, unless POINT_FT_JAX_COMPUTE_CAPABILITY says what to compile for.
    """
    try:
        devices = jax.local_devices(backend='gpu')
    except RuntimeError:  # there is none, or the process was told to do without
        said = os.environ.get(CAPABILITY)
        return float(said) if said else None
    found = [str(getattr(device, 'compute_capability', '')) for device in devices]
    return min(float(c) if re.fullmatch(r'\d+\.\d+', c) else 0.0 for c in found)


def check_cloud(operation: str, name: str, points: jax.Array) -> None:
    """Raises ValueError at trace time unless `points` is floating, [B, N, 3] and not empty."""
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f'{operation}: {name} is {points.shape}; expected [B, N, 3] with N > 0')
    if not jax.numpy.issubdtype(points.dtype, jax.numpy.floating):
        raise ValueError(f'{operation}: {name} is {points.dtype}; expected a floating type')
