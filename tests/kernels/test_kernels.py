"""FPS and kNN against their golden, their definition, and what their docstrings promise."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import farthest_point_sample, gather_points, group_points, knn

GOLDEN = dict(np.load(pathlib.Path(__file__).parents[1] / 'golden' / 'ops_s1.npz'))
CASES = sorted(name.removesuffix('_points') for name in GOLDEN if name.endswith('_points'))
FPS_BACKENDS = ('reference', 'xla', 'cpu', 'auto')
KNN_BACKENDS = ('reference', 'xla', 'cpu')


def lattice(seed: int, batch: int, size: int, extent: int = 4) -> np.ndarray:
    """Clouds on an integer lattice, where distances are exact and ties abound."""
    r = np.random.default_rng(seed)
    return r.integers(-extent, extent + 1, (batch, size, 3)).astype(np.float32)


@pytest.mark.parametrize('backend', FPS_BACKENDS)
@pytest.mark.parametrize('case', CASES)
def test_fps_gives_the_references_indices(case: str, backend: str) -> None:
    points, expected = GOLDEN[f'{case}_points'], GOLDEN[f'{case}_fps']
    found = farthest_point_sample(points, expected.shape[1], backend=backend)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('backend', KNN_BACKENDS)
@pytest.mark.parametrize('case', CASES)
def test_knn_gives_the_references_indices(case: str, backend: str) -> None:
    points, expected = GOLDEN[f'{case}_points'], GOLDEN[f'{case}_knn']
    centers = gather_points(jnp.asarray(points), jnp.asarray(GOLDEN[f'{case}_fps']))
    _, found = knn(centers, points, expected.shape[2], backend=backend)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    batch=st.sampled_from([1, 3, 8]),
    size=st.sampled_from([1, 33, 130]),
    share=st.floats(0.01, 1.0),
    skip=st.booleans(),
)
def test_backends_agree_where_distances_tie(
    seed: int, batch: int, size: int, share: float, skip: bool
) -> None:
    points = lattice(seed, batch, size)
    samples = max(1, int(share * size))
    found = [
        farthest_point_sample(points, samples, skip_near_origin=skip, backend=backend)
        for backend in FPS_BACKENDS
    ]
    near = [knn(points[:, :7], points, samples, backend=backend)[1] for backend in KNN_BACKENDS]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    for other in near[1:]:
        np.testing.assert_array_equal(other, near[0])


def test_each_platform_gets_its_own_code() -> None:
    points = jax.ShapeDtypeStruct((8, 256, 3), np.float32)

    def lowered(platform: str) -> str:
        call = jax.jit(lambda p: (farthest_point_sample(p, 9), knn(p[:, :9], p, 4)))
        return call.trace(points).lower(lowering_platforms=(platform,)).as_text()

    assert lowered('tpu').count('@tpu_custom_call') == 2
    assert 'custom_call @tpu' not in lowered('cpu')


@pytest.mark.parametrize('backend', FPS_BACKENDS)
def test_every_pick_is_a_farthest_point(backend: str) -> None:
    points = np.random.default_rng(0).standard_normal((2, 300, 3)).astype(np.float32)
    picks = np.asarray(farthest_point_sample(points, 40, backend=backend))
    for cloud, indices in zip(points.astype(np.float64), picks, strict=True):
        distances = ((cloud[:, None] - cloud[indices]) ** 2).sum(-1)
        for i in range(1, len(indices)):
            nearest = distances[:, :i].min(1)
            assert nearest[indices[i]] >= nearest.max() * (1 - 1e-5)


@pytest.mark.parametrize('backend', FPS_BACKENDS)
def test_points_near_the_origin_are_invisible_but_for_the_start(backend: str) -> None:
    points = np.array([[[0, 0, 0.01], [1, 0, 0], [0.02, 0, 0], [0, 1, 0]]], np.float32)
    assert farthest_point_sample(points, 4, backend=backend).tolist() == [[0, 1, 3, 1]]
    seen = farthest_point_sample(points, 4, skip_near_origin=False, backend=backend)
    assert sorted(seen[0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize('backend', FPS_BACKENDS)
def test_all_equal_points_and_a_start_of_ones_own(backend: str) -> None:
    same = np.ones((2, 9, 3), np.float32)
    assert farthest_point_sample(same, 3, backend=backend).tolist() == [[0, 0, 0]] * 2
    starts = farthest_point_sample(
        lattice(0, 2, 9), 2, start_index=jnp.array([3, 40]), backend=backend
    )
    assert starts[:, 0].tolist() == [3, 8]


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_chosen(value: float) -> None:
    points = np.random.default_rng(1).standard_normal((2, 50, 3)).astype(np.float32)
    points[0, 7, 1] = points[1, 3:20] = value
    for backend in FPS_BACKENDS:
        picks = np.asarray(farthest_point_sample(points, 30, backend=backend))
        assert 7 not in picks[0]
        assert not set(picks[1]) & set(range(3, 20))
        assert picks.min() >= 0
        assert picks.max() < 50
    for backend in KNN_BACKENDS:
        distances, indices = knn(points[:, 30:], points, 50, backend=backend)
        assert indices.min() >= 0
        assert indices.max() < 50
        assert not np.isnan(distances).any()
        assert set(indices[0, :, -1].tolist()) == {7}


def test_neighbours_that_are_no_numbers_come_last_by_their_index() -> None:
    points = lattice(5, 2, 133)
    points[:, 5:130] = np.nan
    expected = knn(points[:, :3], points, 20, backend='reference')
    for backend in KNN_BACKENDS:
        for a, b in zip(knn(points[:, :3], points, 20, backend=backend), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_gradients_reach_the_gathered_coordinates_and_nothing_else() -> None:
    points = jnp.asarray(np.random.default_rng(2).standard_normal((2, 64, 3)), jnp.float32)

    def total(p: jax.Array) -> jax.Array:
        return group_points(p, 5, 4).centers.sum()

    gradient = jax.jit(jax.grad(total))(points)
    chosen = farthest_point_sample(points, 5)
    expected = np.zeros((2, 64, 3))
    for cloud, indices in enumerate(np.asarray(chosen)):
        expected[cloud, indices] = 1
    np.testing.assert_array_equal(gradient, expected)


def test_a_group_holds_its_centre_first() -> None:
    points = np.random.default_rng(3).standard_normal((2, 64, 3)).astype(np.float32)
    grouped = group_points(points, 8, 6)
    np.testing.assert_array_equal(grouped.groups[:, :, 0], 0)
    np.testing.assert_array_equal(grouped.indices[:, :, 0], grouped.center_indices)


@pytest.mark.parametrize('queries', [8, 42])
@pytest.mark.parametrize(
    ('backend', 'budget'), [('xla', 'BUDGET_BYTES'), ('cpu', 'CPU_BUDGET_BYTES')]
)
def test_blocks_of_the_budget_change_nothing(
    backend: str, budget: str, queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = lattice(4, 3, 130)
    whole = knn(points[:, :21], points, 9, backend=backend)
    # The package's attribute of that name is the function.
    monkeypatch.setattr(sys.modules['kernels.knn'], budget, 4 * 130 * queries)
    for a, b in zip(whole, knn(points[:, :21], points, 9, backend=backend), strict=True):
        np.testing.assert_array_equal(a, b)


CLOUD = np.zeros((2, 10, 3), np.float32)
LARGE = np.zeros((2, 50_000, 3), np.float32)


def test_clouds_too_large_for_a_kernel_are_xlas() -> None:
    assert farthest_point_sample(LARGE, 2).tolist() == [[0, 0]] * 2


def test_an_old_gpu_refuses_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('POINT_FT_JAX_COMPUTE_CAPABILITY', '8.9')
    with pytest.raises(ValueError, match=r'needs compute capability 9\.0, this GPU has 8\.9'):
        farthest_point_sample(CLOUD, 2, backend='cuda')
    assert farthest_point_sample(CLOUD, 2).tolist() == [[0, 0]] * 2


def test_the_environment_replaces_auto_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('POINT_FT_JAX_BACKEND', 'nothing')
    with pytest.raises(ValueError, match="no backend 'nothing'"):
        farthest_point_sample(CLOUD, 2)
    farthest_point_sample(CLOUD, 2, backend='xla')


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: farthest_point_sample(CLOUD, 11), '11 samples of clouds of 10 points'),
        (lambda: farthest_point_sample(CLOUD, 0), 'expected 1 to 10'),
        (lambda: farthest_point_sample(CLOUD[0], 2), r'points is \(10, 3\); expected \[B, N, 3\]'),
        (lambda: farthest_point_sample(CLOUD.astype(int), 2), 'expected a floating type'),
        (lambda: farthest_point_sample(CLOUD, 2, backend='cuda9'), "no backend 'cuda9'"),
        (lambda: farthest_point_sample(LARGE, 2, backend='tpu'), 'at most 32768 points'),
        (lambda: farthest_point_sample(LARGE, 2, backend='cuda'), 'at most 8192 points'),
        (lambda: knn(CLOUD, LARGE, 2, backend='tpu'), 'at most 43648 points'),
        (lambda: knn(CLOUD, LARGE, 129, backend='tpu'), 'at most 43648 points'),
        (lambda: knn(CLOUD, LARGE[:, :200], 129, backend='tpu'), '128 neighbours at most'),
        (lambda: knn(CLOUD, CLOUD, 1, backend='cuda'), "no backend 'cuda'; expected 'auto'"),
        (lambda: knn(CLOUD, CLOUD, 11), 'k is 11; expected 1 to the 10 points'),
        (lambda: knn(CLOUD[..., :2], CLOUD, 1), r'queries is \(2, 10, 2\)'),
        (lambda: knn(CLOUD[:1], CLOUD, 1), '1 clouds of queries, 2 of points'),
    ],
)
def test_mistakes_are_said_when_traced(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
