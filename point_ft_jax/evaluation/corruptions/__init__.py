"""Corruptions of clean clouds, made on the device: two published suites by their recipes.

The suites' own test sets are files with random draws of their own. What is made here follows the
same recipes with other draws, and every name says so: it is `modelnet_c_regenerated` or
`modelnet40_c_13_regenerated`, never the suite itself. `official` reads the official ModelNet-C.
"""

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import inference
from point_ft_jax.evaluation.corruptions import modelnet40_c, modelnet_c

Corruption = Callable[[jax.Array, Array, int], Array]

SUITES: Mapping[str, Mapping[str, Corruption]] = {
    'modelnet_c_regenerated': modelnet_c.CORRUPTIONS,
    'modelnet40_c_13_regenerated': modelnet40_c.CORRUPTIONS,
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    points: np.ndarray,
    name: str,
    severity: int,
    *,
    suite: str = 'modelnet_c_regenerated',
    seed: int = 0,
    batch_size: int = 64,
) -> np.ndarray:
    """Clouds [S, N, 3] corrupted: [S, N', 3] float32, N' by corruption and severity.

    What happens to a cloud depends on the seed, the suite, the corruption, the severity and the
    cloud's number, not on the clouds beside it. Both suites are made of clouds of 1,024 points in
    the unit sphere; numbers of points in their recipes are taken in proportion for other clouds.

    Args:
        points: the clean clouds.
        name: a corruption of the suite.
        severity: 1 (mild) to 5.
        suite: a key of SUITES.
        seed: another seed, other draws.
        batch_size: clouds at once.

    Raises:
        UserError: an unknown suite or corruption, a severity that is not 1..5.
    """
    function = find(name, severity, suite)
    root = jax.random.fold_in(jax.random.key(seed), zlib.crc32(f'{suite} {name}'.encode()))
    root = jax.random.fold_in(root, severity)

    @jax.jit
    def batch(numbers: Array, clouds: Array) -> Array:
        keys = jax.vmap(functools.partial(jax.random.fold_in, root))(numbers)
        return jax.vmap(lambda key, cloud: function(key, cloud, severity))(keys, clouds)

    parts = []
    for start in range(0, len(points), batch_size):
        numbers = np.minimum(
            np.arange(start, start + min(batch_size, len(points))), len(points) - 1
        )
        parts.append(np.asarray(batch(numbers, jnp.asarray(points[numbers], jnp.float32))))
    return np.concatenate(parts)[: len(points)]


def regenerate(
    test: Split,
    suite: str,
    severities: Sequence[int],
    clouds: int,
    num_points: int,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Split, dict[str, dict[int, Split]]]:
    """A suite made of a split: the clean clouds, and each corruption of them by severity.

    Args:
        test: the split.
        suite: a key of SUITES.
        severities: of 1 to 5.
        clouds: how many of the split, evenly chosen; 0 for all.
        num_points: what a clean cloud is reduced to. Only density_inc starts from all its points.
        say: is given the name of each corruption when its clouds are made.

    Raises:
        UserError: see `corrupt`.
    """
    if test.channels:
        raise UserError(
            f'these clouds have {", ".join(test.channels)}, which points that a corruption adds '
            'would lack: corrupt clouds of x, y, z alone'
        )
    for severity in severities:
        find(next(iter(SUITES.get(suite, ['']))), severity, suite)
    size = min(clouds or len(test), len(test))
    test = test.take(np.linspace(0, len(test) - 1, size).round().astype(int))
    clean = Split(inference.prepare(test.points, num_points), test.labels, test.classes)

    def one(name: str, severity: int) -> Split:
        points = (test if name == 'density_inc' else clean).points
        return Split(corrupt(points, name, severity, suite=suite), test.labels, test.classes)

    found = {}
    for name in SUITES[suite]:
        found[name] = {severity: one(name, severity) for severity in severities}
        say(name)
    return clean, found


def find(name: str, severity: int, suite: str) -> Corruption:
    """The function of a corruption; UserError for what there is not."""
    if suite not in SUITES:
        raise UserError(f'no suite {suite!r} of corruptions; there are {", ".join(SUITES)}')
    if name not in SUITES[suite]:
        raise UserError(f'no corruption {name!r} in {suite}; there are {", ".join(SUITES[suite])}')
    if severity not in SEVERITIES:
        raise UserError(f'severity is {severity!r}; expected 1 (mild) to 5')
    return SUITES[suite][name]
