"""Models by their names: backbone, method, head, options."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.models.backbone import Backbone
from point_ft_jax.models.classification_head import ClassificationHead
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.model import Model
from point_ft_jax.models.networks import Classifier, Segmenter
from point_ft_jax.models.tuner import Method, Tuner
from point_ft_jax.models.tuner_chain import chain

# The fields of backbones that are sizes.
SIZES = (
    *('width', 'widths', 'depth', 'depths', 'heads'),
    *('num_groups', 'group_size', 'group_sizes', 'radii'),
)


def build(
    backbone: str,
    method: str,
    num_classes: int,
    *,
    num_parts: int | None = None,
    variant: str = 'base',
    geometry: Mapping[str, object] | None = None,
    method_options: Mapping[str, object] | None = None,
    trainable: tuple[str, ...] | None = None,
    readout: tuple[str, ...] | None = None,
    head: Mapping[str, object] | None = None,
    dtype: Dtype | None = None,
) -> Model:
    """A model from the names of its parts.

    Args:
        backbone: the name of a file in `backbones/`.
        method: the name of a file in `methods/`, or several: 'ssf+lora' is SSF around LoRA around
            the backbone, and trains what any of the two trains.
        num_classes: C, of a part segmenter the categories.
        num_parts: P, for a part segmenter; None for a classifier.
        variant: one of the backbone's sizes.
        geometry: fields of the backbone that differ from the variant's, such as `num_groups`.
        method_options: fields of the method's tuner, such as DAPT's `rank`; for several methods
            keyed by their names.
        trainable: patterns of what trains, in place of the method's own; see `Method`.
        readout: what the head reads; by default the method's choice, or the backbone's.
        head: fields of the head that differ from the backbone's published one.
        dtype: what to compute in (parameters stay float32); None for the parameters' type.

    Raises:
        UserError: an unknown name or option; the message lists what there is.
    """
    spec: Backbone = plugins.load('backbones', backbone).BACKBONE
    plan, tuner = _method(method, method_options or {}, num_parts is not None)
    if trainable:
        plan = dataclasses.replace(plan, trainable=tuple(trainable))
    if variant not in spec.variants:
        raise UserError(
            f'no variant {variant!r} of {backbone}; there are {", ".join(spec.variants)}'
        )
    form = None if num_parts is None else spec.segmentation
    fields = {**spec.variants[variant], **(form.geometry if form else {}), **(geometry or {})}
    make_head = form.head if form else functools.partial(ClassificationHead, **spec.head)
    head = {**plan.head, **(head or {})}
    check_options(f'backbone {backbone}', spec.build, fields)
    check_options('head', make_head, head)
    _check_geometry(f'backbone {backbone}', fields)
    parts = {
        'backbone': spec.build(**fields, dtype=dtype),
        'tuner': tuner,
        'readout': tuple(readout or plan.readout or (form or spec).readout),
    }
    if form:
        head = make_head(num_parts, **head, dtype=dtype)
        return Model(Segmenter(**parts, head=head, num_categories=num_classes), spec, plan)
    return Model(Classifier(**parts, head=make_head(num_classes, **head, dtype=dtype)), spec, plan)


def known(backbone: str, geometry: Mapping[str, object]) -> dict[str, object]:
    """The fields that the backbone has: a hierarchical one has no single number of groups."""
    fields = inspect.signature(plugins.load('backbones', backbone).BACKBONE.build).parameters
    return {
        name: value
        for name, value in geometry.items()
        if name in fields and isinstance(fields[name].default, type(value))
    }


def _method(name: str, options: Mapping[str, object], segmentation: bool) -> tuple[Method, Tuner]:
    """The method, or the chain of methods, of that name, and its tuner."""
    names = name.split('+')
    plans = {part: plugins.load('methods', part).METHOD for part in names}
    if segmentation:
        plans = {part: plan.segmentation or plan for part, plan in plans.items()}
    by_method = options if len(names) > 1 else {name: options}
    if unknown := [part for part in by_method if part not in plans]:
        raise UserError(
            f'method {name} has no part {", ".join(unknown)}: the options of several methods are '
            f'keyed by their names, {{{names[0]!r}: {{…}}}}'
        )
    for part, given in by_method.items():
        check_options(f'method {part}', plans[part].tuner, given)
    plan = chain(plans) if len(names) > 1 else plans[name]
    return plan, plan.tuner(**options)


def check_options(what: str, make: object, options: Mapping[str, object]) -> None:
    """Raises UserError unless `make` takes all of `options`; the message lists what it takes."""
    hidden = {'parent', 'name', 'dtype', 'num_classes', 'num_parts'}
    known = [name for name in inspect.signature(make).parameters if name not in hidden]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UserError(
            f'{what} has no option {", ".join(unknown)}; it has {", ".join(known) or "none"}'
        )


def _check_geometry(what: str, fields: Mapping[str, object]) -> None:
    """Raises UserError for sizes that no model can have."""
    sizes = {name: np.atleast_1d(fields[name]) for name in SIZES if name in fields}
    problems = [
        f'{name} is {fields[name]}; expected more than 0'
        for name, values in sizes.items()
        if (values <= 0).any()
    ]
    width = next((name for name in ('width', 'widths') if name in sizes), '')
    number = fields.get('heads', 1)
    if width and not problems and (sizes[width] % number).any():
        problems.append(f'{width} is {fields[width]}; expected a multiple of {number} heads')
    if not 0 <= fields.get('drop_path', 0) < 1:
        problems.append(f'drop_path is {fields["drop_path"]}; expected 0 or more and less than 1')
    raise_all(problems, f'{what} cannot be built:')


def hold_frozen(built: Model) -> Model:
    """`built`, with the statistics of its backbone's batch norms held if its backbone is frozen.

    They are held for the sake of frozen norms; norms that train need the batch's own.
    """
    frozen = not trees.matches('backbone/norm/scale', built.method.trainable)
    backbone = built.module.backbone.clone(hold_statistics=frozen)
    return dataclasses.replace(built, module=built.module.clone(backbone=backbone))


def compute_type(name: str) -> Dtype | None:
    """The type that `name` computes in, None for that of the parameters; UserError for another."""
    if name not in COMPUTE:
        raise UserError(f'the compute type is {name!r}; expected {" or ".join(COMPUTE)}')
    return COMPUTE[name]


COMPUTE = {'float32': None, 'bfloat16': jnp.bfloat16}
