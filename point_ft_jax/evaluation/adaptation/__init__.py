"""Adaptation at test time: predictions of a frozen model on clouds unlike those it was trained on.

`tent` moves the norms by gradients, `purge_gate` and `purge_gate_sp` leave tokens out, by what the
class token looks for or by what the training clouds were like. None sees a label.
"""

import functools
import inspect
from collections.abc import Mapping

import flax.linen as nn
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.evaluation import inference
from point_ft_jax.evaluation.adaptation import purge_gate, tent
from point_ft_jax.evaluation.inference import Predict
from point_ft_jax.models.options import check

ADAPTATIONS = {
    'tent': tent.make_predict,
    'purge_gate': purge_gate.make_predict,
    'purge_gate_sp': purge_gate.make_predict_by_source,
}


def make_adapted(
    name: str,
    module: nn.Module,
    mesh: Mesh,
    batch_size: int,
    options: Mapping[str, object] | None = None,
) -> Predict:
    """A function of variables and prepared points [S, n, 3] to logits [S, C], adapting as it goes.

    The function raises UserError for answers that are not finite.

    Args:
        name: 'tent', 'purge_gate' or 'purge_gate_sp'.
        module: the classifier.
        mesh: the devices.
        batch_size: clouds at once; of `tent` it is part of the method.
        options: keywords of `tent.make_predict`, `purge_gate.make_predict` or
            `purge_gate.make_predict_by_source`.

    Raises:
        UserError: an unknown name or option, one that is lacking, or a model that the method does
            not fit.
    """
    check_adaptation(name, options or {})
    if batch_size < 1:
        raise UserError(f'batch_size is {batch_size}; expected 1 or more')
    if needs_source(name) and 'source' not in (options or {}):
        raise UserError(
            f"{name} needs the option 'source': clouds [S, n, 3] that the model was trained on"
        )
    run = ADAPTATIONS[name](module, mesh, batch_size, **(options or {}))

    def predict(variables: Variables, points: np.ndarray) -> np.ndarray:
        found = run(variables, points)
        if said := inference.problem(found):
            raise UserError(
                f'{said}. It was adapted by {name}, which may have moved it too far: lower lr, the '
                'learning rate of adapting, or take fewer steps'
            )
        return found

    return predict


def check_adaptation(name: str, options: Mapping[str, object]) -> None:
    """Raises UserError for a name or an option that there is not, or a wrong value of one."""
    if name not in ADAPTATIONS:
        raise UserError(f'adapt is {name!r}; expected one of {", ".join(ADAPTATIONS)}')
    own = (None, None, 0)  # module, mesh and batch_size, which are no options
    check(name, functools.partial(ADAPTATIONS[name], *own), options)


def needs_source(name: str) -> bool:
    """Whether an adaptation compares with clouds that the model was trained on."""
    return 'source' in inspect.signature(ADAPTATIONS[name]).parameters
