"""Adaptation at test time: predictions of a frozen model on clouds unlike those it was trained on.

`tent` moves the norms by gradients, `purge_gate` leaves tokens out. Neither sees a label.
"""

import inspect
from collections.abc import Callable, Mapping

import flax.linen as nn
import numpy as np
from jax.sharding import Mesh

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Variables
from point_ft_jax.evaluation.adaptation import purge_gate, tent

Predict = Callable[[Variables, np.ndarray], np.ndarray]
ADAPTATIONS = {'tent': tent.make_predict, 'purge_gate': purge_gate.make_predict}
_OWN = ('module', 'mesh', 'batch_size')  # what is no option


def make_adapted(
    name: str,
    module: nn.Module,
    mesh: Mesh,
    batch_size: int,
    options: Mapping[str, object] | None = None,
) -> Predict:
    """A function of variables and prepared points [S, n, 3] to logits [S, C], adapting as it goes.

    Args:
        name: 'tent' or 'purge_gate'.
        module: the classifier.
        mesh: the devices.
        batch_size: clouds at once; of `tent` it is part of the method.
        options: keywords of `tent.make_predict` or `purge_gate.make_predict`.

    Raises:
        UserError: an unknown name or option, or a model that the method does not fit.
    """
    check_adaptation(name, options or {})
    return ADAPTATIONS[name](module, mesh, batch_size, **(options or {}))


def check_adaptation(name: str, options: Mapping[str, object]) -> None:
    """Raises UserError for a name or options that there are not."""
    if name not in ADAPTATIONS:
        raise UserError(f'adapt is {name!r}; expected one of {", ".join(ADAPTATIONS)}')
    known = [n for n in inspect.signature(ADAPTATIONS[name]).parameters if n not in _OWN]
    raise_all(
        [f'{o!r}; there are {", ".join(known)}' for o in options if o not in known],
        f'{name} has no such option:',
    )
