"""PointGST's graphs: what they depend on, and the order of their points."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from golden_models import clouds
from small_methods import POINTS, fresh, same

from point_ft_jax.methods import pointgst


def test_pointgst_decomposes_each_graph_once_a_forward() -> None:
    model, variables = fresh('point_mae', 'pointgst')
    traced = str(jax.make_jaxpr(model.module.apply)(variables, POINTS))
    assert traced.count('eigh[') == 2


def test_the_second_eigensolver_needs_what_the_first_gives() -> None:
    """Two at once on two threads of a CPU wait for each other for ever."""
    jaxpr = jax.make_jaxpr(lambda c: pointgst.spectrum(c, 4, False))(jnp.zeros((2, 8, 3))).jaxpr
    solvers = [e for e in jaxpr.eqns if 'eigh' in f'{e.primitive.name} {e.params.get("jaxpr")}']
    first, second = solvers
    reached = set(first.outvars)
    for equation in jaxpr.eqns:
        if reached & {v for v in equation.invars if isinstance(v, jax.extend.core.Var)}:
            reached |= set(equation.outvars)
    assert reached & set(second.invars)


def test_pointgsts_graphs_depend_on_the_batch_only_as_the_reference() -> None:
    centers = jnp.asarray(POINTS) * jnp.arange(1.0, 5.0).reshape(4, 1, 1)
    alone, together = (pointgst.laplacian(c, False)[1] for c in (centers[:2], centers))
    assert same(alone, together)
    assert not np.allclose(alone, pointgst.laplacian(centers, True)[1], atol=1e-3)


def test_distances_by_a_matrix_product_have_a_unit_of_rounding() -> None:
    """As the reference measures them: of what is above 0, the smallest is noise on the diagonal."""
    centers = clouds(4, 128, 0)
    squares = np.square(centers).sum(-1, dtype=np.float32)
    products = centers @ centers.transpose(0, 2, 1)
    expanded = squares[:, :, None] + squares[:, None] - 2 * products
    distances = np.sqrt(np.maximum(expanded, 0))
    apart = ~np.eye(128, dtype=bool)
    unit = distances[distances > 0].min()
    assert unit < 0.1 * distances[:, apart].min()
    assert (unit / distances[:, apart]).max() < 0.1  # weights that should reach 1
    exact = np.asarray(pointgst.laplacian(jnp.asarray(centers), False))
    noisy = _laplacian(np.where(distances > 0, unit / np.maximum(distances, unit), 1.0))
    largest = [np.linalg.eigvalsh(graph.astype(np.float64)).max() for graph in (exact[0], noisy[0])]
    assert largest[1] < 0.25 * largest[0]


def _laplacian(weights: np.ndarray) -> np.ndarray:
    scale = 1 / np.sqrt(weights.sum(-1))
    return np.eye(weights.shape[-1]) - scale[..., :, None] * weights * scale[..., None, :]


def test_centres_that_coincide_have_a_laplacian() -> None:
    centers = jnp.zeros((1, 4, 3)).at[0, 0].set(1.0)
    found = pointgst.laplacian(centers, False)
    np.testing.assert_allclose(found, np.eye(4)[None] - 0.25, atol=1e-5)
    assert np.isfinite(pointgst.laplacian(centers[:, 1:], False)).all()


def test_the_morton_order_interleaves_sixteen_bits() -> None:
    centers = np.random.default_rng(1).uniform(-5, 5, (1, 50, 3)).astype(np.float32)

    def key(center: np.ndarray) -> int:
        x, y, z = (int(np.float32(c) * np.float32(100)) & 0xFFFF for c in center)
        bits = [(v >> b) & 1 for b in reversed(range(16)) for v in (y, x, z)]
        return int(''.join(map(str, bits)), 2)

    expected = sorted(range(50), key=lambda i: key(centers[0, i]))
    assert pointgst.morton_order(jnp.asarray(centers))[0].tolist() == expected
