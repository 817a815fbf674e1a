"""The TPU and GPU kernels, on their interpreters, against the definition.

The GPU's interpreter came with jax 0.11, which needs Python 3.12; there, `python -m pytest
tests/test_kernels_interpreted.py` runs it.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu as plgpu
from jax.experimental.pallas import tpu as pltpu

from kernels import farthest_point_sample, gather_points, knn
from kernels.bench import right_picks

GOLDEN = dict(np.load(pathlib.Path(__file__).parents[1] / 'golden' / 'ops_s1.npz'))
NO_INTERPRETER = pytest.mark.skipif(
    not hasattr(plgpu, 'InterpretGPUParams'), reason='jax < 0.11 has no interpreter for Mosaic GPU'
)
KERNELS = ('tpu', pytest.param('cuda', marks=NO_INTERPRETER))


@contextlib.contextmanager
def interpreted(backend: str) -> Iterator[None]:
    """Kernels run on the interpreter, which stops where they race."""
    if backend == 'tpu':
        with pltpu.force_tpu_interpret_mode():
            yield
    else:
        with plgpu.force_gpu_interpret_mode(plgpu.InterpretGPUParams(detect_races=True)):
            yield


def unlike_clouds(size: int = 130) -> np.ndarray:
    """Nine clouds, each with something that a kernel may get wrong; distances are exact."""
    r = np.random.default_rng(0)
    clouds = r.integers(-4, 5, (9, size, 3)).astype(np.float32)
    clouds[1] = clouds[1, np.arange(size) % 17]  # duplicates
    clouds[2] = clouds[2, 0]  # all points equal
    clouds[3, ::3] = 0  # invisible
    clouds[4] = 0  # all of them
    clouds[5, 3:20, 1] = np.nan
    clouds[6, 100:, 0] = np.inf
    clouds[7] = np.nan
    clouds[8] *= 1e3
    return clouds


@pytest.mark.parametrize('backend', KERNELS)
@pytest.mark.parametrize('skip', [True, False])
def test_fps_is_the_definitions_on_unlike_clouds(backend: str, skip: bool) -> None:
    clouds = unlike_clouds()
    options = {'skip_near_origin': skip, 'start_index': np.arange(9, dtype=np.int32) * 15}
    expected = farthest_point_sample(clouds, 40, backend='reference', **options)
    with interpreted(backend):
        found = farthest_point_sample(clouds, 40, backend=backend, **options)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(('batch', 'size', 'samples'), [(1, 1, 1), (3, 33, 33), (17, 128, 5)])
@pytest.mark.parametrize('backend', KERNELS)
def test_fps_at_odd_sizes(backend: str, batch: int, size: int, samples: int) -> None:
    clouds = np.random.default_rng(1).integers(-4, 5, (batch, size, 3)).astype(np.float32)
    expected = farthest_point_sample(clouds, samples, backend='reference')
    with interpreted(backend):
        found = farthest_point_sample(clouds, samples, backend=backend)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('backend', KERNELS)
@pytest.mark.parametrize('case', ['modelnet', 'm2ae2'])
def test_fps_gives_the_references_indices(case: str, backend: str) -> None:
    points, expected = GOLDEN[f'{case}_points'], GOLDEN[f'{case}_fps']
    with interpreted(backend):
        found = farthest_point_sample(points, expected.shape[1], backend=backend)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('backend', KERNELS)
def test_every_pick_is_a_farthest_point(backend: str) -> None:
    points = np.random.default_rng(4).standard_normal((3, 200, 3)).astype(np.float32)
    with interpreted(backend):
        picks = farthest_point_sample(points, 30, skip_near_origin=False, backend=backend)
    assert right_picks(points, np.asarray(picks)) == 1


@NO_INTERPRETER  # and the TPU's does not know the axis that vmap adds to a grid
def test_fps_samples_each_row_of_a_vmap() -> None:
    clouds = np.random.default_rng(2).integers(-4, 5, (2, 3, 33, 3)).astype(np.float32)
    expected = farthest_point_sample(clouds.reshape(6, 33, 3), 9, backend='reference')
    with interpreted('cuda'):
        found = jax.vmap(lambda p: farthest_point_sample(p, 9, backend='cuda'))(clouds)
    np.testing.assert_array_equal(found.reshape(6, 9), expected)


def test_knn_is_the_definitions_on_unlike_clouds() -> None:
    clouds = unlike_clouds()
    queries = clouds[:, :21]
    distances, indices = knn(queries, clouds, 40, backend='reference')
    with interpreted('tpu'):
        found = knn(queries, clouds, 40, backend='tpu')
    np.testing.assert_array_equal(found[1], indices)
    np.testing.assert_array_equal(found[0], distances)


@pytest.mark.parametrize('case', ['modelnet', 'm2ae2'])
def test_knn_gives_the_references_indices(case: str) -> None:
    points, expected = GOLDEN[f'{case}_points'], GOLDEN[f'{case}_knn']
    centers = gather_points(jnp.asarray(points), jnp.asarray(GOLDEN[f'{case}_fps']))
    with interpreted('tpu'):
        _, found = knn(centers, points, expected.shape[2], backend='tpu')
    np.testing.assert_array_equal(found, expected)


def test_no_gradient_flows_through_a_kernels_indices() -> None:
    points = jnp.asarray(np.random.default_rng(3).standard_normal((2, 20, 3)), jnp.float32)

    def total(p: jax.Array) -> jax.Array:
        chosen = farthest_point_sample(p, 4, backend='tpu')
        centers = gather_points(p, chosen)
        return gather_points(p, knn(centers, p, 3, backend='tpu')[1]).sum() + centers.sum()

    with interpreted('tpu'):
        gradient = jax.grad(total)(points)
    assert float(gradient.sum()) == 3 * 2 * (4 * 3 + 4)


# Several warpgroups, or devices, need as many threads of XLA's, however few the cores are.
IN_A_PROCESS = """
import sys
import jax, numpy as np
sys.path.insert(0, sys.argv[1])
from test_kernels_interpreted import farthest_point_sample, interpreted, knn, unlike_clouds
from kernels import fps_gpu, group_points
backend, devices = sys.argv[2], jax.device_count()
fps_gpu.WARPGROUPS = {8192: 4}
clouds = np.concatenate([unlike_clouds()] * 2)[: 16 if devices > 1 else 3]
expected = farthest_point_sample(clouds, 12, backend='reference')
mesh = jax.make_mesh((devices,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
with interpreted(backend), jax.set_mesh(mesh):
    found = jax.jit(lambda p: farthest_point_sample(p, 12, backend=backend))(clouds)
    np.testing.assert_array_equal(found, expected)
    if backend == 'tpu':
        found = jax.jit(lambda p: knn(p[:, :9], p, 5, backend=backend)[1])(clouds)
        np.testing.assert_array_equal(found, knn(clouds[:, :9], clouds, 5, backend='reference')[1])
apart = jax.sharding.NamedSharding(mesh, jax.P('data'))
shape = jax.ShapeDtypeStruct(clouds.shape, clouds.dtype, sharding=apart)
with jax.set_mesh(mesh):
    program = jax.jit(lambda p: group_points(p, 8, 4)).lower(shape).compile()
assert 'all-gather' not in program.as_text()
print('equal')
"""


@pytest.mark.parametrize(
    ('backend', 'devices'), [('tpu', '8'), pytest.param('cuda', '1', marks=NO_INTERPRETER)]
)
def test_kernels_over_devices_and_warpgroups(backend: str, devices: str) -> None:
    here = pathlib.Path(__file__).parent
    done = subprocess.run(
        [sys.executable, '-c', IN_A_PROCESS, str(here), backend],
        env={
            **os.environ,
            'PYTHONPATH': str(here.parents[1]),
            'JAX_PLATFORMS': 'cpu',
            'JAX_NUM_CPU_DEVICES': devices,
            'NPROC': '16',
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith('equal\n'), done.stderr
