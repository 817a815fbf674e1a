"""The devices of a run: one axis, over which batches are spread; everything else is everywhere."""

import functools
import os
import pathlib
import sys
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kernels.dispatch import DATA_AXIS

# Matrix products go to a library one by one. XLA's default gives YNNPACK whole chains of
# operations, which makes these models 1.3 times slower; LIBRARY_FUSION_TYPE_DOT gives it products
# with what stands around them, which keeps a scaled or shifted copy beside each result (a quarter
# more memory with DAPT).
YNNPACK, EIGEN = 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT', ''
# The barriers: the XLA of jax 0.10 drops optimisation barriers on the CPU, finds that what is
# computed again has been computed before, and keeps it after all: no `train.memory` but 'fast'
# would save anything. Those of 0.11 and 0.12 keep them by themselves.
# The trees: XLA would sum and compare long rows by windows of 32, entry by entry. Without them it
# does so with vectors: a softmax takes half the time, a sum a third, farthest points a quarter.
# Sums of columns would take longer, and go another way (`models/rows.py`).
DISABLED = ('cse_barrier_expander', 'tree_reduction_rewriter')


def make_mesh() -> Mesh:
    """All devices of all processes along one axis."""
    return jax.make_mesh((jax.device_count(),), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def compiler_options(library: str | None = None) -> dict[str, str]:
    """What programs here are compiled with, by the platform of this process.

    On a CPU `library` (EIGEN or YNNPACK) computes the products; None for the one that suits it.
    """
    if jax.default_backend() != 'cpu':
        return {}
    if library is None:
        library = product_library(_processor())
    return {
        'xla_cpu_experimental_ynn_fusion_type': library,
        'xla_disable_hlo_passes': ','.join(DISABLED),
    }


def product_library(processor: Mapping[str, str]) -> str:
    """Which library is to compute products, EIGEN or YNNPACK, on a processor of /proc/cpuinfo.

    XLA's Eigen is built for vectors of 256 bits, YNNPACK takes what there is. A Zen 4 (AMD's family
    25) computes as much with either, and Eigen is a tenth faster on it; where vectors of 512 bits
    are computed at once Eigen has little more than half the rate.
    """
    zen = processor.get('vendor_id') == 'AuthenticAMD' and processor.get('cpu family') == '25'
    return EIGEN if zen else YNNPACK


@functools.cache
def _processor() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo; {} where there is no such file."""
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().split('\n\n')[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(':') for line in lines)}


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
