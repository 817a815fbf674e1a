"""The devices of a run: one axis, over which batches are spread; everything else is everywhere."""

import os
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kernels.dispatch import DATA_AXIS

# FUSION_TYPE: matrix products go to YNNPACK, one by one. XLA's default gives it whole chains of
# operations, which makes these models 1.3 times slower; LIBRARY_FUSION_TYPE_DOT gives it products
# with what stands around them, which keeps a scaled or shifted copy beside each result (a quarter
# more memory with DAPT). '' leaves products to Eigen: which of the two is faster depends on the
# machine (docs/performance.md).
# DISABLE: the XLA of jax 0.10 drops optimisation barriers on the CPU, finds that what is computed
# again has been computed before, and keeps it after all: no `train.memory` but 'fast' would save
# anything. Those of 0.11 and 0.12 keep them by themselves.
CPU_OPTIONS = {
    'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT',
    'xla_disable_hlo_passes': 'cse_barrier_expander',
}


def make_mesh() -> Mesh:
    """All devices of all processes along one axis."""
    return jax.make_mesh((jax.device_count(),), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def compiler_options() -> dict[str, str]:
    """What programs here are compiled with, by the platform of this process."""
    return dict(CPU_OPTIONS) if jax.default_backend() == 'cpu' else {}


def memory_bytes() -> int | None:
    """What a device of this process can hold, a CPU its machine's memory; None if it is unknown."""
    device = jax.local_devices()[0]
    if limit := (device.memory_stats() or {}).get('bytes_limit'):
        return limit
    if device.platform != 'cpu':
        return None
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def everywhere(mesh: Mesh, tree: object) -> object:
    """The arrays of `tree`, the same on every device; all processes must hold the same."""
    return _placed(tree, NamedSharding(mesh, PartitionSpec()))


def over_devices(mesh: Mesh, tree: object, axis: int = 0) -> object:
    """The arrays of `tree`, spread over the devices along `axis`; all processes hold the same."""
    return _placed(tree, _along(mesh, axis))


def _placed(tree: object, sharding: NamedSharding) -> object:
    """`tree` on its devices. Of what a host holds, it gives its own devices theirs, unasked.

    `device_put` would send all of it between the hosts, to check that they hold the same.
    """

    def place(array: object) -> jax.Array:
        if isinstance(array, np.ndarray):
            return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
        return jax.device_put(array, sharding)

    return jax.tree.map(place, tree)


def shard_batch(mesh: Mesh, array: jax.Array, axis: int = 0) -> jax.Array:
    """Inside a jitted function: `array` with its batch, at `axis`, spread over the devices."""
    return jax.lax.with_sharding_constraint(array, _along(mesh, axis))


def _along(mesh: Mesh, axis: int) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, DATA_AXIS))


def to_host(tree: object) -> object:
    """The arrays of `tree`, on the host or each the same on every device, as numpy arrays."""
    return jax.tree.map(
        lambda a: a if isinstance(a, np.ndarray) else np.asarray(a.addressable_data(0)), tree
    )


def main_process() -> bool:
    """Whether this process is the one that writes logs and reports."""
    return jax.process_index() == 0


def agree(number: int) -> int:
    """The largest of the numbers that the processes bring, so that all decide alike."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.asarray(number)).max())


def say(text: str) -> None:
    """Prints to standard error, once among the processes of a run."""
    if main_process():
        print(text, file=sys.stderr, flush=True)
