"""Folds a tuner into its backbone."""

import dataclasses

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import Model, ModelSpec, build
from point_ft_jax.models.tuned import TunedModel


def merge(tuned: TunedModel) -> TunedModel:
    """The tuned model without its tuner, which is folded into the backbone; its method is 'full'.

    Its logits are those of `tuned`, up to rounding. Where a method shifts queries, keys and values
    (SSF), the merged backbone has `qkv_bias`.

    Raises:
        UserError: the method cannot be folded; the message says why.

    Examples:
        >>> import jax
        >>> from point_ft_jax import TunedModel, create_model, merge
        >>> model = create_model('recon', 2, variant='tiny', method='lora')
        >>> tuned = TunedModel(model, model.init(jax.random.key(0)), {'classes': ['a', 'b']})
        >>> merge(tuned).model.spec.method
        'full'
    """
    model, variables = tuned.model, tuned.variables
    merged = {
        collection: {part: leaves for part, leaves in tree.items() if part != 'tuner'}
        for collection, tree in variables.items()
    }
    spec = _without_method(model)
    if 'tuner' in variables['params']:
        before = merged['params']['backbone']
        after = _folded(model, variables['params']['tuner'], before)
        merged['params']['backbone'] = after
        if trees.flatten(after).keys() != trees.flatten(before).keys():
            # The only maps without a bias to fold into.
            spec = dataclasses.replace(spec, geometry={**spec.geometry, 'qkv_bias': True})
    return dataclasses.replace(tuned, model=build(spec), variables=merged)


def _without_method(model: Model) -> ModelSpec:
    """The model's spec with method 'full', and what the head had from its own method."""
    return dataclasses.replace(
        model.spec,
        method='full',
        method_options={},
        trainable=(),
        readout=model.module.readout,
        head={**model.method.head, **model.spec.head},
    )


def _folded(model: Model, own: trees.Tree, backbone: trees.Tree) -> trees.Tree:
    """The backbone's parameters with the tuner's `own` in them."""
    if isinstance(model.method.merge, str):
        raise UserError(f'this model cannot be merged into its backbone: {model.method.merge}')
    return model.method.merge(own, backbone, model.module.tuner)
