"""Features of frozen models: extracted once, for one tree of variables or for many together."""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.evaluation import inference
from point_ft_jax.models.readout import read_out

Extract = Callable[[Variables, np.ndarray], dict[str, np.ndarray]]


def make_extract(
    module: nn.Module, mesh: Mesh, batch_size: int, readouts: Mapping[str, tuple[str, ...]]
) -> Extract:
    """A function of stacked variables and prepared points [S, n, 3] to features, on the host.

    The variables' leaves are [A, ...], of A models of one architecture: the forward pass is
    `vmap`ped over them, on the same clouds. It compiles once for each batch size.

    Args:
        module: a `Classifier`; its head is not used.
        mesh: the devices, over which a batch is divided.
        batch_size: the most clouds at once, of every model.
        readouts: {a name of the caller's: what to read of the tokens}; see `readout.read_out`.

    Returns:
        The function; its result is {name: [A, S, F]}, float32.
    """

    def read(classifier: nn.Module, points: Array) -> dict[str, Array]:
        tokens = classifier.backbone(points, classifier.tuner, False)
        return {name: read_out(tokens, readout) for name, readout in readouts.items()}

    def features_of(variables: Variables, points: Array) -> dict[str, Array]:
        """{name: [A, B, F]}."""
        return jax.vmap(lambda one: module.apply(one, points, method=read))(variables)

    # A small split is one small batch: the sums of a program depend on the size of its batch.
    sized = functools.cache(lambda size: inference.in_batches(features_of, mesh, size, axis=1))

    def extract(variables: Variables, points: np.ndarray) -> dict[str, np.ndarray]:
        return sized(min(batch_size, len(points)))(variables, points)

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
