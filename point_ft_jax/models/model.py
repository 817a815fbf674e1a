"""A model from names: a backbone, a method, a head, and the tables of all three."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.models import torch_names as torch_import
from point_ft_jax.models.backbone import Backbone
from point_ft_jax.models.classification_head import ClassificationHead
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.method import Method
from point_ft_jax.models.networks import Classifier
from point_ft_jax.models.segmenter import Segmenter
from point_ft_jax.models.transformer import Tuner
from point_ft_jax.models.tuner_chain import chain

# A key and a tree with shapes among its leaves to one of arrays.
Draw = Callable[[jax.Array, trees.Tree], trees.Tree]
# The fields of backbones that are sizes.
SIZES = (
    *('width', 'widths', 'depth', 'depths', 'heads'),
    *('num_groups', 'group_size', 'group_sizes', 'radii'),
)


class Drawn:
    """What has variables, which `_init` draws from a random key.

    Its program is traced once; a tree has the types that were in force then.
    """

    _init: Callable[[jax.Array], dict[str, trees.Tree]]

    def init(self, key: jax.Array) -> dict[str, trees.Tree]:
        """Fresh variables: the trees 'params' and 'batch_stats'.

        Raises:
            UserError: a part does not fit another, or does nothing there.
        """
        return self.draw(key, self.shapes())

    def shapes(self) -> dict[str, trees.Tree]:
        """What `init` would return, as shapes and types; nothing is computed. Errors as `init`."""
        return jax.tree.map(lambda leaf: leaf, self._traced[0])  # a tree to change at will

    def draw(self, key: jax.Array, variables: dict[str, trees.Tree]) -> dict[str, trees.Tree]:
        """`variables` with what `init` draws in place of those that are but shapes.

        What a checkpoint brings need not be drawn first. Errors as `init`.
        """
        return self._traced[1](key, variables)

    @functools.cached_property
    def _traced(self) -> tuple[dict[str, trees.Tree], Draw]:
        return by_step(self._init)


@dataclasses.dataclass(frozen=True)
class Model(Drawn):
    """A classifier or part segmenter with the plug-ins that it was built from.

    Attributes:
        module: the Flax module; `module.apply(variables, points, train)`, for a segmenter
            `module.apply(variables, points, categories, train)`, gives logits.
        backbone, method: the plug-ins.
    """

    module: Classifier | Segmenter
    backbone: Backbone
    method: Method

    def _init(self, key: jax.Array) -> dict[str, trees.Tree]:
        variables = self.module.init({'params': key, 'dropout': key}, *self.module.blank())
        if type(self.module.tuner) is not Tuner and 'tuner' not in variables['params']:
            raise UserError(
                f'{type(self.module.tuner).__name__} puts nothing into this backbone: check '
                'method_options, such as which layers it is for'
            )
        return {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})}

    @property
    def trainable(self) -> tuple[str, ...]:
        """Patterns over the paths of what trains."""
        return self.method.trainable

    def load_backbone(
        self, variables: dict[str, trees.Tree], state: Mapping[str, np.ndarray], source: str
    ) -> tuple[dict[str, trees.Tree], torch_import.LoadReport]:
        """`variables` with the backbone of a pre-training file; see `import_variables`."""
        loaded, report = torch_import.import_variables(
            state, _backbone(variables), source=source, **self._tables
        )
        return {name: {**tree, **loaded[name]} for name, tree in variables.items()}, report

    def fit_backbone(
        self, variables: dict[str, trees.Tree], state: Mapping[str, np.ndarray]
    ) -> torch_import.Fit:
        """How a file fits, or why it does not; `load_backbone` without loading."""
        return torch_import.compare(state, _backbone(variables), **self._tables)

    @property
    def _tables(self) -> dict[str, object]:
        """What `torch_import` wants to know of the backbone."""
        return {
            'names': below('backbone', self.backbone.torch_names),
            'conv': self.backbone.conv,
            'prefixes': self.backbone.prefixes,
            'may_lack': self.backbone.may_lack,
            'leaves': self.backbone.leaves,
        }

    def load_all(
        self, variables: dict[str, trees.Tree], state: Mapping[str, np.ndarray], source: str
    ) -> tuple[dict[str, trees.Tree], torch_import.LoadReport]:
        """`variables` from a published fine-tuned file: every key, and no other."""
        state = torch_import.merge_twins(state, self.method.torch_twins)
        return torch_import.import_variables(
            state, variables, self.torch_names, conv=self.conv, source=source
        )

    def export(self, variables: dict[str, trees.Tree]) -> dict[str, np.ndarray]:
        """All variables as a PyTorch state dict; the inverse of `load_all`."""
        state = torch_import.export_variables(variables, self.torch_names, self.conv)
        return torch_import.add_twins(state, self.method.torch_twins)

    @property
    def conv(self) -> tuple[str, ...]:
        """The PyTorch names of convolutions."""
        return (*self.backbone.conv, *self.method.conv, *self.module.head.conv)

    @property
    def torch_names(self) -> dict[str, str]:
        """The PyTorch names of the whole tree."""
        return {
            **below('backbone', self.backbone.torch_names),
            **below('tuner', self.method.torch_names),
            **below('head', self.module.head.torch_names),
        }


def hold_frozen(built: Model) -> Model:
    """`built`, with the statistics of its backbone's batch norms held if its backbone is frozen.

    They are held for the sake of frozen norms; norms that train need the batch's own.
    """
    frozen = not trees.matches('backbone/norm/scale', built.method.trainable)
    backbone = built.module.backbone.clone(hold_statistics=frozen)
    return dataclasses.replace(built, module=built.module.clone(backbone=backbone))


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


def _backbone(variables: Mapping[str, trees.Tree]) -> dict[str, trees.Tree]:
    return {name: {'backbone': tree['backbone']} for name, tree in variables.items()}


def below(part: str, names: Mapping[str, str]) -> dict[str, str]:
    """A table of PyTorch names with its tree paths below `part`."""
    return {f'{part}/{path}': name for path, name in names.items()}


def by_step(function: Callable[[jax.Array], trees.Tree]) -> tuple[trees.Tree, Draw]:
    """The shapes of `function(key)`, and what computes those of a tree's leaves that are one.

    It does so one operation after the other, without what these leaves do not need. Some four
    hundred leaves, each drawn by random-number code of its own, take XLA half a minute to compile
    as one program; step by step, leaves of one shape share theirs.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(jax.random.key(0))

    def draw(key: jax.Array, tree: trees.Tree) -> trees.Tree:
        if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):  # as `jax.random.PRNGKey` makes it
            key = jax.random.wrap_key_data(key)
        leaves, structure = jax.tree.flatten(tree)
        missing = [isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves]
        needed, _ = partial_eval.dce_jaxpr(closed.jaxpr, missing, instantiate=True)
        drawn = iter(jax.core.eval_jaxpr(needed, closed.consts, key))
        both = zip(leaves, missing, strict=True)
        return jax.tree.unflatten(structure, [next(drawn) if m else leaf for leaf, m in both])

    return shapes, draw
