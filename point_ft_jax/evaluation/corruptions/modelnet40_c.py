"""Thirteen corruptions of ModelNet40-C (Sun et al., 2022, arXiv 2201.12296), by their recipes.

Each is (key, points [N, 3] in the unit sphere, severity 1..5) to [N', 3]. The suite's occlusion and
lidar are missing: they render meshes. Clouds are a random 1,024 of 2,048 points, except
`density_inc`, which starts from all of them. Most corruptions end by centring the bounding box and
scaling its longest side to 2.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core.trees import Array
from point_ft_jax.evaluation.corruptions._parts import (
    any_of,
    axis_rotation,
    keep,
    nearest,
    share,
    signed,
)

NODES = 5  # along every axis of the lattices that distort
BASIS_RADIUS = 0.5  # of the radial basis functions: the default of the library that the suite used
# Displacements of a free-form lattice are counted in lengths of its box, which is 2.
BOX = 2.0


def normalize(points: Array) -> Array:
    """The bounding box centred, its longest side from -1 to 1."""
    low, high = points.min(0, keepdims=True), points.max(0, keepdims=True)
    return (points - (low + high) / 2) * (2 / (high - low).max())


def rotation(key: jax.Array, points: Array, severity: int) -> Array:
    """About every axis by c - 2.5 to c + 2.5 degrees either way, c = 2.5, 5, 7.5, 10, 15."""
    c = (2.5, 5, 7.5, 10, 15)[severity - 1]
    for axis, angle in enumerate(signed(key, (3,), c - 2.5, c + 2.5) * jnp.pi / 180):
        points = points @ axis_rotation(axis, angle)
    return normalize(points)


def shear(key: jax.Array, points: Array, severity: int) -> Array:
    """x and z by all other axes, y by x and z, each by c - 0.05 to c + 0.05, c = 0.05 to 0.25."""
    c = 0.05 * severity
    b, d, e, f = signed(key, (4,), c - 0.05, c + 0.05)
    one, zero = jnp.ones(()), jnp.zeros(())
    matrix = jnp.stack([one, zero, b, d, one, e, f, zero, one]).reshape(3, 3)
    return normalize(points @ matrix)


def distortion(key: jax.Array, points: Array, severity: int) -> Array:
    """Free-form deformation: a 5x5x5 lattice over [-1, 1]^3 whose nodes move.

    By up to 0.1 to 0.5 of the box's side along every axis. Points outside the box stay.
    """
    c = 0.1 * severity
    shifts = jax.random.uniform(key, (NODES, NODES, NODES, 3), minval=-c, maxval=c)
    place = (points + 1) / BOX
    x, y, z = (_bernstein(place[:, axis]) for axis in range(3))
    moved = points + BOX * jnp.einsum('ni,nj,nk,ijkd->nd', x, y, z, shifts)
    inside = ((place >= 0) & (place <= 1)).all(-1, keepdims=True)
    return normalize(jnp.where(inside, moved, points))


def _bernstein(t: Array) -> Array:
    """[N, 5]: the Bernstein polynomials of degree 4 at t [N]."""
    degree = NODES - 1
    binomials = (1, 4, 6, 4, 1)
    return jnp.stack([b * t**i * (1 - t) ** (degree - i) for i, b in enumerate(binomials)], axis=-1)


def distortion_rbf(key: jax.Array, points: Array, severity: int) -> Array:
    """125 lattice points move by 0.025 to 0.125; the rest follows by multiquadrics."""
    return normalize(_follow(key, points, severity, inverse=False))


def distortion_rbf_inv(key: jax.Array, points: Array, severity: int) -> Array:
    """As `distortion_rbf`, by inverse multiquadrics."""
    return normalize(_follow(key, points, severity, inverse=True))


_AXIS = np.linspace(-1, 1, NODES)
LATTICE = np.array(list(itertools.product(_AXIS, _AXIS, _AXIS)))  # [125, 3]


def _follow(key: jax.Array, points: Array, severity: int, inverse: bool) -> Array:
    """The points displaced by the radial-basis interpolation of the lattice's displacements.

    The interpolation has a linear part beside the basis functions. Directions are drawn by two
    uniform angles, as the suite does: not uniform on the sphere.
    """
    a, g = jax.random.uniform(key, (2, len(LATTICE)), minval=-jnp.pi, maxval=jnp.pi)
    direction = jnp.stack([jnp.cos(a) * jnp.sin(g), jnp.sin(a) * jnp.sin(g), jnp.cos(g)], -1)

    solve = jnp.asarray(_solution(inverse), jnp.float32)
    weights = jnp.matmul(solve, 0.025 * severity * direction, precision='highest')
    difference = points[:, None] - jnp.asarray(LATTICE, jnp.float32)[None]
    rows = _rows(_basis(jnp.square(difference).sum(-1), inverse, jnp), points, jnp)
    return points + jnp.matmul(rows, weights, precision='highest')


def _solution(inverse: bool) -> np.ndarray:
    """[129, 125]: from displacements of the lattice to weights of the interpolation, in float64."""
    squares = np.square(LATTICE[:, None] - LATTICE).sum(-1)
    rows = _rows(_basis(squares, inverse, np), LATTICE, np)  # [125, 129]
    system = np.zeros((len(LATTICE) + 4,) * 2)
    system[: len(LATTICE)] = rows
    system[len(LATTICE) :, : len(LATTICE)] = rows[:, len(LATTICE) :].T
    return np.linalg.inv(system)[:, : len(LATTICE)]


def _basis(squares: Array, inverse: bool, numpy: object) -> Array:
    root = numpy.sqrt(squares + BASIS_RADIUS**2)
    return 1 / root if inverse else root


def _rows(basis: Array, points: Array, numpy: object) -> Array:
    """The basis functions, the constant and the coordinates, side by side."""
    return numpy.concatenate([basis, numpy.ones_like(points[:, :1]), points], axis=-1)


def uniform(key: jax.Array, points: Array, severity: int) -> Array:
    """Uniform noise of up to 0.01 to 0.05 on every coordinate."""
    c = 0.01 * severity
    return normalize(points + jax.random.uniform(key, points.shape, minval=-c, maxval=c))


def gaussian(key: jax.Array, points: Array, severity: int) -> Array:
    """Normal noise of deviation 0.01 to 0.03; coordinates are clipped to -1..1."""
    deviation = 0.005 + 0.005 * severity
    return jnp.clip(points + deviation * jax.random.normal(key, points.shape), -1, 1)


def impulse(key: jax.Array, points: Array, severity: int) -> Array:
    """A 30th to a 10th of the points move by 0.1 along every axis, either way."""
    some = len(points) // (30, 25, 20, 15, 10)[severity - 1]
    place_key, sign_key = jax.random.split(key)
    rows = jax.random.permutation(place_key, len(points))[:some]
    return normalize(points.at[rows].add(0.1 * jax.random.rademacher(sign_key, (some, 3))))


def upsampling(key: jax.Array, points: Array, severity: int) -> Array:
    """A fifth of the points to all of them once more, each moved by up to 0.05."""
    more = len(points) // (5, 4, 3, 2, 1)[severity - 1]
    place_key, noise_key = jax.random.split(key)
    copies = jax.random.permutation(place_key, points)[:more]
    noise = jax.random.uniform(noise_key, copies.shape, minval=-0.05, maxval=0.05)
    return normalize(jnp.concatenate([points, copies + noise]))


def background(key: jax.Array, points: Array, severity: int) -> Array:
    """A 45th to a 20th more points, uniform in [-1, 1]^3."""
    more = len(points) // (45, 40, 35, 30, 20)[severity - 1]
    extra = jax.random.uniform(key, (more, 3), minval=-1, maxval=1)
    return normalize(jnp.concatenate([points, extra]))


def cutout(key: jax.Array, points: Array, severity: int) -> Array:
    """Two to ten times the 30 points (of 1,024) around a random one are gone."""
    times, size = (2, 3, 5, 7, 10)[severity - 1], share(30, len(points))
    alive = jnp.ones(len(points), bool)
    for place_key in jax.random.split(key, times):
        alive &= ~nearest(points, alive, points[any_of(place_key, alive)], size)
    return keep(points, alive, len(points) - times * size)


def density(key: jax.Array, points: Array, severity: int) -> Array:
    """One to five times, of the 100 points (of 1,024) around a random one, 75 are gone."""
    size = share(100, len(points))
    gone = 3 * size // 4
    alive = jnp.ones(len(points), bool)
    for place_key in jax.random.split(key, severity):
        center_key, choice_key = jax.random.split(place_key)
        near = nearest(points, alive, points[any_of(center_key, alive)], size)
        draw = jnp.where(near, jax.random.uniform(choice_key, alive.shape), jnp.inf)
        alive &= ~(near & (jnp.argsort(jnp.argsort(draw)) < gone))
    return keep(points, alive, len(points) - severity * gone)


def density_inc(key: jax.Array, points: Array, severity: int) -> Array:
    """Half as many points: the 100 (of 2,048) around one to five points whole, the rest thinned.

    The rest is drawn with repetition, as the suite does.
    """
    total, size = len(points) // 2, share(100, len(points) // 2)
    rest_key, *keys = jax.random.split(key, 1 + severity)
    alive, parts = jnp.ones(len(points), bool), []
    for place_key in keys:
        near = nearest(points, alive, points[any_of(place_key, alive)], size)
        parts.append(keep(points, near, size))
        alive &= ~near
    chances = jnp.where(alive, 0.0, -jnp.inf)
    rest = jax.random.categorical(rest_key, chances, shape=(total - severity * size,))
    return jnp.concatenate([*parts, points[rest]])


CORRUPTIONS = {
    f.__name__: f
    for f in (
        *(rotation, shear, distortion, distortion_rbf, distortion_rbf_inv),
        *(uniform, gaussian, impulse, upsampling, background),
        *(cutout, density, density_inc),
    )
}
