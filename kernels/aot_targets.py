"""Chips to compile for, without having one: their topologies come from the compilers alone.

TPUs need the package libtpu, GPUs the CUDA plug-in of JAX and NVIDIA's compiler, as wheels: the
extras `aot-tpu` and `aot-gpu`.
"""

import dataclasses

import jax
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

# What XLA wants to know of a GPU that it does not see: the figures of an H200.
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 151397597184 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 12 } device_description_str: "NVIDIA H200"
"""


@dataclasses.dataclass(frozen=True)
class Target:
    """A slice of TPUs, or some GPUs of one machine.

    Attributes:
        platform: 'tpu' or 'cuda'.
        topology: of the devices, as the platform's compiler calls it.
        memory: bytes a device has, as sold; what the compiler may use is a little less.
    """

    platform: str
    topology: str
    memory: int

    def devices(self) -> list[jax.Device]:
        """Devices to compile for, which can't run anything."""
        config = {'target_config': H200} if self.platform == 'cuda' else {}
        # For a TPU the topology is its name; for GPUs hosts x processes x devices.
        key = 'topology' if self.platform == 'cuda' else 'topology_name'
        options = {key: self.topology, **config}
        return list(topologies.get_topology_desc(platform=self.platform, **options).devices)


TARGETS = {
    'v4': Target('tpu', 'v4:2x2x1', 32 * 2**30),
    'v5e': Target('tpu', 'v5e:2x2', 16 * 2**30),
    'v6e': Target('tpu', 'v6e:2x2', 32 * 2**30),
    'sm_90': Target('cuda', '1x1x1', 141 * 10**9),
    'v5e:4x4': Target('tpu', 'v5e:4x4', 16 * 2**30),
    'v5e:16x16': Target('tpu', 'v5e:16x16', 16 * 2**30),
    'H200': Target('cuda', '1x1x1', 141 * 10**9),
    '8 x H200': Target('cuda', '1x1x8', 141 * 10**9),
}


def one_axis(devices: list[jax.Device], name: str) -> Mesh:
    """A mesh of all devices along one axis."""
    return jax.make_mesh((len(devices),), (name,), axis_types=(AxisType.Auto,), devices=devices)


def environment(platform: str) -> dict[str, str]:
    """The variables under which a process compiles for `platform`."""
    return {
        'JAX_PLATFORMS': 'cpu',
        # The compiler alone: no metadata server to ask, and several processes at a time.
        'TPU_SKIP_MDS_QUERY': '1',
        'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
        'TPU_MIN_LOG_LEVEL': '3',
        'TF_CPP_MIN_LOG_LEVEL': '3',
        **({'POINT_FT_JAX_COMPUTE_CAPABILITY': '9.0'} if platform == 'cuda' else {}),
    }
