"""Features of frozen models: extracted once, for one tree of variables or for many together."""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from point_ft_jax.core.devices import compiler_options, spread
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.models.readout import read_out

Extract = Callable[[Variables, np.ndarray], dict[str, np.ndarray]]


def make_extract(
    module: nn.Module, mesh: Mesh, batch_size: int, readouts: Mapping[str, tuple[str, ...]]
) -> Extract:
    """A function of stacked variables and prepared points [S, n, 3] to features, on the host.

    The variables' leaves are [A, ...], A models of one form: the forward pass is `vmap`ped over
    them, on the same clouds. It compiles once a shape of its arguments.

    Args:
        module: a `classifier.Classifier`; its head is not used.
        mesh: the devices, over which a batch is spread.
        batch_size: clouds at once, of every model.
        readouts: what to read, by names of one's own; see `heads.read_out`.

    Returns:
        The function; its result is {name: [A, S, F]}, float32.
    """
    batch_size = -(-batch_size // mesh.size) * mesh.size

    def read(classifier: nn.Module, points: Array) -> dict[str, Array]:
        tokens = classifier.backbone(points, classifier.tuner, False)
        return {name: read_out(tokens, readout) for name, readout in readouts.items()}

    @functools.partial(
        jax.jit,
        out_shardings=NamedSharding(mesh, PartitionSpec()),
        compiler_options=compiler_options(),
    )
    def batch_features(variables: Variables, points: Array) -> dict[str, Array]:
        points = spread(mesh, points)
        return jax.vmap(lambda one: module.apply(one, points, method=read))(variables)

    def extract(variables: Variables, points: np.ndarray) -> dict[str, np.ndarray]:
        size = min(batch_size, -(-len(points) // mesh.size) * mesh.size)
        rows = np.minimum(np.arange(-(-len(points) // size) * size), len(points) - 1)
        with jax.set_mesh(mesh):
            found = [
                jax.tree.map(
                    lambda a: np.asarray(a.addressable_data(0)),
                    batch_features(variables, points[rows[start : start + size]]),
                )
                for start in range(0, len(rows), size)
            ]
        return {
            name: np.concatenate([part[name] for part in found], axis=1)[:, : len(points)]
            for name in readouts
        }

    return extract


def stack(variables: Variables) -> Variables:
    """One model as a stack of one."""
    return jax.tree.map(lambda leaf: leaf[None], variables)


def reshaped(module: nn.Module, geometry: Mapping[str, object]) -> nn.Module:
    """The module with fields of its backbone changed that its parameters do not depend on.

    Raises:
        UserError: a field that the backbone does not have.
    """
    fields = {n: tuple(v) if isinstance(v, list) else v for n, v in geometry.items()}
    unknown = [name for name in fields if not hasattr(module.backbone, name)]
    if unknown:
        raise UserError(f'svm.geometry: this backbone has no field {", ".join(unknown)}')
    return module.clone(backbone=module.backbone.clone(**fields))
