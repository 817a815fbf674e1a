"""Models from specs: the names of a backbone and a method, and options."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.models import options
from point_ft_jax.models.backbone import Backbone
from point_ft_jax.models.classification_head import ClassificationHead
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.model import Model
from point_ft_jax.models.networks import Classifier, Segmenter
from point_ft_jax.models.spec import AutoencoderSpec, ModelSpec, Spec
from point_ft_jax.models.tuner import Method, Tuner
from point_ft_jax.models.tuner_chain import chain
from point_ft_jax.models.zero_shot import ALIGNED, TextHead

if TYPE_CHECKING:
    from point_ft_jax.models.autoencoders.build import Autoencoder


def build(spec: Spec) -> 'Model | Autoencoder':
    """The model that a spec says: an autoencoder of an AutoencoderSpec, else a `Model`.

    Raises:
        UserError: an unknown name or option, or a size that no model can have; the message lists
            what there is.
    """
    if isinstance(spec, AutoencoderSpec):
        # Imported here: loading a fine-tuned model needs no pre-training.
        from point_ft_jax.models.autoencoders.build import build_autoencoder

        return build_autoencoder(spec)
    return _build_model(spec)


def create_model(
    backbone: str,
    num_classes: int,
    *,
    variant: str = 'base',
    method: str = 'full',
    method_options: Mapping[str, object] | None = None,
    trainable: Sequence[str] | None = None,
    num_parts: int | None = None,
    geometry: Mapping[str, object] | None = None,
    readout: Sequence[str] | None = None,
    head: Mapping[str, object] | None = None,
    dtype: str | None = None,
    batch_norm: str = 'hold',
) -> Model:
    """A model from the names of its parts; `build` of the `ModelSpec` that they make.

    Args:
        backbone: one of `available('backbones')`.
        num_classes: C, of a part segmenter the categories; 1 for scenes, of which the published
            segmenter is told none: `head={'sees_category': False}`.
        variant: one of the backbone's sizes: 'base' is the published one.
        method: one of `available('methods')`, or several, 'ssf+lora'.
        method_options: of the method, such as DAPT's `rank`; of several keyed by their names.
        trainable: patterns of what trains, in place of the method's own.
        num_parts: P, for a part segmenter; None for a classifier.
        geometry: fields of the backbone that differ from the variant's, such as `num_groups`.
        readout: what the head reads; by default the method's choice, or the backbone's.
        head: fields of the head that differ from the published one, such as `dropout`.
        dtype: 'float32', the default, or 'bfloat16', to compute in; parameters are float32.
        batch_norm: whether to 'hold' the statistics of a frozen backbone's batch norms, or to
            'update' them as the references do.

    Raises:
        UserError: an unknown name or option; the message lists what there is.

    Examples:
        >>> from point_ft_jax import create_model
        >>> model = create_model('point_mae', 40, method='dapt')
        >>> model.spec.method, model.trainable[0]
        ('dapt', 'tuner/*')
    """
    return _build_model(
        ModelSpec(
            backbone=backbone,
            num_classes=num_classes,
            variant=variant,
            method=method,
            method_options=method_options or {},
            trainable=tuple(trainable or ()),
            num_parts=num_parts,
            geometry=geometry or {},
            readout=tuple(readout or ()),
            head=head or {},
            dtype=dtype or 'float32',
            batch_norm=batch_norm,
        )
    )


def _build_model(spec: ModelSpec) -> Model:
    plugin: Backbone = plugins.load('backbones', spec.backbone).BACKBONE
    dtype = compute_type(spec.dtype)
    if spec.batch_norm not in BATCH_NORM:
        raise UserError(f"batch_norm is {spec.batch_norm!r}; expected 'hold' or 'update'")
    method, tuner = _method(spec.method, spec.method_options, spec.num_parts is not None)
    if spec.trainable:
        method = dataclasses.replace(method, trainable=spec.trainable)
    form = None if spec.num_parts is None else plugin.segmentation
    fields = {**variant_of(spec, plugin), **(form.geometry if form else {}), **spec.geometry}
    options.check(f'backbone {spec.backbone}', plugin.build, fields)
    make_head = form.head if form else functools.partial(ClassificationHead, **plugin.head)
    head = {**method.head, **spec.head}
    texts = 'kind' in head
    if texts:
        _check_text_head(spec, plugin)
        make_head, head = TextHead, {}
    options.check('head', make_head, head)
    if spec.batch_norm == 'hold':
        # Held because the norms are frozen; norms that train need the batch's own statistics.
        scales = (f'backbone/{norm}/scale' for norm in plugin.batch_norms)
        fields['hold_statistics'] = not any(trees.matches(s, method.trainable) for s in scales)
    parts = {
        'backbone': plugin.build(**fields, dtype=dtype),
        'tuner': tuner,
        'readout': ALIGNED
        if texts
        else spec.readout or method.readout or tuple((form or plugin).readout),
        'head': make_head(spec.num_parts or spec.num_classes, **head, dtype=dtype),
    }
    if form:
        module = Segmenter(**parts, num_categories=spec.num_classes)
    else:
        module = Classifier(**parts)
    return Model(spec, module, plugin, method)


def _check_text_head(spec: ModelSpec, plugin: Backbone) -> None:
    """Raises UserError for a head of another kind than 'text', or one that does not fit."""
    problems = []
    if spec.head != {'kind': 'text'}:
        problems.append(f"head is {dict(spec.head)}; expected {{'kind': 'text'}} alone")
    if spec.num_parts is not None:
        problems.append('a part segmenter has a head of its own')
    if not hasattr(plugin.build(), 'aligned_width'):
        problems.append(f'{spec.backbone} has no space of texts; choose one that has, as uni3d')
    raise_all(problems, 'a head of text features cannot be built:')


def variant_of(spec: Spec, plugin: Backbone) -> Mapping[str, object]:
    """The fields of the backbone's size that a spec names; UserError for another name."""
    if spec.variant not in plugin.variants:
        raise UserError(
            f'no variant {spec.variant!r} of {spec.backbone}; there are '
            f'{", ".join(plugin.variants)}'
        )
    return plugin.variants[spec.variant]


def known(backbone: str, geometry: Mapping[str, object]) -> dict[str, object]:
    """The fields that the backbone has: a hierarchical one has no single number of groups."""
    fields = inspect.signature(plugins.load('backbones', backbone).BACKBONE.build).parameters
    return {
        name: value
        for name, value in geometry.items()
        if name in fields and isinstance(fields[name].default, type(value))
    }


def _method(name: str, given: Mapping[str, object], segmentation: bool) -> tuple[Method, Tuner]:
    """The method, or the chain of methods, of that name, and its tuner."""
    names = name.split('+')
    plans = {part: plugins.load('methods', part).METHOD for part in names}
    if segmentation:
        plans = {part: plan.segmentation or plan for part, plan in plans.items()}
    by_method = given if len(names) > 1 else {name: given}
    if unknown := [part for part in by_method if part not in plans]:
        raise UserError(
            f'method {name} has no part {", ".join(unknown)}: the options of several methods are '
            f'keyed by their names, {{{names[0]!r}: {{…}}}}'
        )
    for part, own in by_method.items():
        options.check(f'method {part}', plans[part].tuner, own)
    plan = chain(plans) if len(names) > 1 else plans[name]
    return plan, plan.tuner(**given)


def compute_type(name: str) -> Dtype | None:
    """The type that `name` computes in, None for that of the parameters; UserError for another."""
    if name not in COMPUTE:
        raise UserError(f'the compute type is {name!r}; expected {" or ".join(COMPUTE)}')
    return COMPUTE[name]


BATCH_NORM = ('hold', 'update')
COMPUTE = {'float32': None, 'bfloat16': jnp.bfloat16}
