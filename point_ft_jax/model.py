"""A model from names: a backbone, a method, a head, and the tables of all three."""

import dataclasses
import inspect
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax import params, plugins, torch_import
from point_ft_jax.backbone import Backbone
from point_ft_jax.classifier import Classifier
from point_ft_jax.errors import UserError
from point_ft_jax.heads import ClassificationHead
from point_ft_jax.layers import Dtype
from point_ft_jax.method import Method


@dataclasses.dataclass(frozen=True)
class Model:
    """A classifier with the plug-ins that it was built from.

    Attributes:
        module: the Flax module; `module.apply(variables, points, train)` gives logits.
        backbone, method: the plug-ins.
    """

    module: Classifier
    backbone: Backbone
    method: Method

    def init(self, key: jax.Array) -> dict[str, params.Tree]:
        """Fresh variables: the trees 'params' and 'batch_stats'."""
        points = jnp.zeros((1, _fewest_points(self.module), 3))
        variables = jax.jit(self.module.init)({'params': key, 'dropout': key}, points)
        return {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})}

    def shapes(self) -> dict[str, params.Tree]:
        """What `init` would return, as shapes and types; nothing is computed."""
        return jax.eval_shape(self.init, jax.random.key(0))

    def load_backbone(
        self, variables: dict[str, params.Tree], state: Mapping[str, np.ndarray], source: str
    ) -> tuple[dict[str, params.Tree], torch_import.LoadReport]:
        """`variables` with the backbone of a pre-training file; see `import_variables`."""
        part = {name: {'backbone': tree['backbone']} for name, tree in variables.items()}
        loaded, report = torch_import.import_variables(
            state,
            part,
            _below('backbone', self.backbone.torch_names),
            conv=self.backbone.conv,
            prefixes=self.backbone.prefixes,
            may_lack=self.backbone.may_lack,
            leaves=self.backbone.leaves,
            source=source,
        )
        return {name: {**tree, **loaded[name]} for name, tree in variables.items()}, report

    def load_all(
        self, variables: dict[str, params.Tree], state: Mapping[str, np.ndarray], source: str
    ) -> tuple[dict[str, params.Tree], torch_import.LoadReport]:
        """`variables` from a published fine-tuned file: every key, and no other."""
        return torch_import.import_variables(
            state, variables, self.torch_names, conv=self.backbone.conv, source=source
        )

    def export(self, variables: dict[str, params.Tree]) -> dict[str, np.ndarray]:
        """All variables as a PyTorch state dict; the inverse of `load_all`."""
        return torch_import.export_variables(variables, self.torch_names, self.backbone.conv)

    @property
    def torch_names(self) -> dict[str, str]:
        """The PyTorch names of the whole tree."""
        return {
            **_below('backbone', self.backbone.torch_names),
            **_below('tuner', self.method.torch_names),
            **_below('head', self.backbone.head_torch_names),
        }


def build(
    backbone: str,
    method: str,
    num_classes: int,
    *,
    variant: str = 'base',
    geometry: Mapping[str, object] | None = None,
    method_options: Mapping[str, object] | None = None,
    readout: tuple[str, ...] | None = None,
    head: Mapping[str, object] | None = None,
    dtype: Dtype | None = None,
) -> Model:
    """A model from the names of its parts.

    Args:
        backbone, method: names of files in `backbones/` and `methods/`.
        num_classes: C.
        variant: one of the backbone's sizes.
        geometry: fields of the backbone that differ from the variant's, such as `num_groups`.
        method_options: fields of the method's tuner, such as DAPT's `rank`.
        readout: what the head reads; by default the method's choice, or the backbone's.
        head: fields of the head that differ from the backbone's published one.
        dtype: what to compute in (parameters stay float32); None for the parameters' type.

    Raises:
        UserError: an unknown name or option; the message lists what there is.
    """
    spec: Backbone = plugins.load('backbones', backbone).BACKBONE
    plan: Method = plugins.load('methods', method).METHOD
    if variant not in spec.variants:
        raise UserError(
            f'no variant {variant!r} of {backbone}; there are {", ".join(spec.variants)}'
        )
    fields = {**spec.variants[variant], **(geometry or {})}
    _check_options(f'backbone {backbone}', spec.build, fields)
    _check_options(f'method {method}', plan.tuner, method_options or {})
    _check_options('head', ClassificationHead, head or {})
    module = Classifier(
        backbone=spec.build(**fields, dtype=dtype),
        tuner=plan.tuner(**(method_options or {})),
        head=ClassificationHead(num_classes, **{**spec.head, **(head or {})}, dtype=dtype),
        readout=tuple(readout or plan.readout or spec.readout),
    )
    return Model(module, spec, plan)


def _check_options(what: str, make: object, options: Mapping[str, object]) -> None:
    hidden = {'parent', 'name', 'dtype', 'num_classes'}
    known = [name for name in inspect.signature(make).parameters if name not in hidden]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UserError(
            f'{what} has no option {", ".join(unknown)}; it has {", ".join(known) or "none"}'
        )


def _fewest_points(module: Classifier) -> int:
    """Enough points to trace the model with: parameters do not depend on their number."""
    return max(module.backbone.num_groups, module.backbone.group_size)


def _below(part: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f'{part}/{path}': name for path, name in names.items()}
