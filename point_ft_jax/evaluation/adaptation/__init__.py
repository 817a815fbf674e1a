"""Adaptation at test time: predictions of a frozen model on clouds unlike those it was trained on.

`tent` moves the norms by gradients, `purge_gate` and `purge_gate_sp` leave tokens out, by what the
class token looks for or by what the training clouds were like. None sees a label.
"""

import inspect
from collections.abc import Mapping

import flax.linen as nn
from jax.sharding import Mesh

from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.evaluation.adaptation import purge_gate, tent
from point_ft_jax.evaluation.inference import Predict

ADAPTATIONS = {
    'tent': tent.make_predict,
    'purge_gate': purge_gate.make_predict,
    'purge_gate_sp': purge_gate.make_predict_by_source,
}
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
    if needs_source(name) and 'source' not in (options or {}):
        raise UserError(
            f"{name} needs the option 'source': clouds [S, n, 3] that the model was trained on"
        )
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


def needs_source(name: str) -> bool:
    """Whether an adaptation compares with clouds that the model was trained on."""
    return 'source' in inspect.signature(ADAPTATIONS[name]).parameters
