"""Folds a tuner into its backbone."""

import dataclasses

from point_ft_jax.core import plugins
from point_ft_jax.core import trees as params
from point_ft_jax.core.errors import UserError
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuner import Tuner

Variables = dict[str, params.Tree]


def merge(model: Model, variables: Variables) -> tuple[Model, Variables]:
    """The tuned model without its tuner: a model of method 'full', and its variables.

    Its logits are those of the tuned model, up to rounding. Where a method shifts queries, keys and
    values (SSF), the merged backbone has `qkv_bias`.

    Raises:
        UserError: the method can not be folded; the message says why.
    """
    trees = {
        collection: {part: leaves for part, leaves in tree.items() if part != 'tuner'}
        for collection, tree in variables.items()
    }
    backbone = model.module.backbone
    if 'tuner' in variables['params']:
        before = trees['params']['backbone']
        after = _folded(model, variables['params']['tuner'], before)
        trees['params']['backbone'] = after
        if params.flatten(after).keys() != params.flatten(before).keys():
            backbone = backbone.clone(qkv_bias=True)  # the only maps without a bias to fold into
    module = model.module.clone(backbone=backbone, tuner=Tuner())
    full = plugins.load('methods', 'full').METHOD
    return dataclasses.replace(model, module=module, method=full), trees


def _folded(model: Model, own: params.Tree, backbone: params.Tree) -> params.Tree:
    """The backbone's parameters with the tuner's `own` in them."""
    if isinstance(model.method.merge, str):
        raise UserError(f'this model can not be merged into its backbone: {model.method.merge}')
    return model.method.merge(own, backbone, model.module.tuner)
