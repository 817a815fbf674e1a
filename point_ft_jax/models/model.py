"""A model from names: a backbone, a method, a head, and the tables of all three."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import channels, torch_names
from point_ft_jax.models.backbone import Backbone
from point_ft_jax.models.networks import Classifier, Segmenter
from point_ft_jax.models.spec import ModelSpec
from point_ft_jax.models.tuner import Method, Tuner

# A key and a tree with shapes among its leaves to one of arrays.
Draw = Callable[[jax.Array, trees.Tree], trees.Tree]


class Drawn:
    """What has variables, which `_init` draws from a random key.

    Its program is traced once; a tree has the types that were in force then.
    """

    _init: Callable[[jax.Array], Variables]

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables: the trees 'params' and 'batch_stats'.

        Raises:
            UserError: a part does not fit another, or does nothing there.
        """
        return self.init_missing(key, self.shapes())

    def shapes(self) -> Variables:
        """What `init` would return, as shapes and types; nothing is computed. Errors as `init`."""
        return jax.tree.map(lambda leaf: leaf, self._traced[0])  # a tree to change at will

    def init_missing(self, key: jax.Array, variables: Variables) -> Variables:
        """`variables` with what `init` draws in place of those that are but shapes.

        What a checkpoint brings need not be drawn first. Errors as `init`.
        """
        return self._traced[1](key, variables)

    @functools.cached_property
    def _traced(self) -> tuple[Variables, Draw]:
        return by_step(self._init)


@dataclasses.dataclass(frozen=True)
class Model(Drawn):
    """A classifier or part segmenter with the plug-ins that it was built from.

    Attributes:
        spec: the names that it was built from.
        module: the Flax module; `module.apply(variables, points, train)`, for a segmenter
            `module.apply(variables, points, categories, train)`, gives logits.
        backbone, method: the plug-ins.
    """

    spec: ModelSpec
    module: Classifier | Segmenter
    backbone: Backbone
    method: Method

    def _init(self, key: jax.Array) -> Variables:
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
        self, variables: Variables, state: Mapping[str, np.ndarray], source: str
    ) -> tuple[Variables, torch_names.LoadReport]:
        """`variables` with the backbone of a pre-training file; see `import_variables`."""
        state, widened = self._as_own(state)
        loaded, report = torch_names.import_variables(
            state, _backbone(variables), source=source, **self._tables
        )
        report = dataclasses.replace(report, widened=widened)
        return {name: {**tree, **loaded[name]} for name, tree in variables.items()}, report

    def fit_backbone(
        self, variables: Variables, state: Mapping[str, np.ndarray]
    ) -> torch_names.Fit:
        """How a file fits, or why it does not; `load_backbone` without loading."""
        return torch_names.compare(self._as_own(state)[0], _backbone(variables), **self._tables)

    def _as_own(
        self, state: Mapping[str, np.ndarray]
    ) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
        """A pre-training file's entries under one name each, and as wide as the model's channels.

        The keys that were widened come second.
        """
        state = torch_names.merge_twins(state, self.backbone.torch_twins)
        backbone = self.module.backbone
        key = torch_names.torch_key(backbone.first_map, self.backbone.torch_names)
        return channels.widen(state, key, backbone.input_channels)

    @property
    def _tables(self) -> dict[str, object]:
        """What `torch_names` wants to know of the backbone."""
        return {
            'names': below('backbone', self.backbone.torch_names),
            'conv': self.backbone.conv,
            'prefixes': self.backbone.prefixes,
            'may_lack': self.backbone.may_lack,
            'leaves': self.backbone.leaves,
            'told_apart': self.backbone.told_apart,
        }

    def load_all(
        self, variables: Variables, state: Mapping[str, np.ndarray], source: str
    ) -> tuple[Variables, torch_names.LoadReport]:
        """`variables` from a published fine-tuned file: every key, and no other."""
        state = torch_names.merge_twins(state, self.torch_twins)
        return torch_names.import_variables(
            state, variables, self.torch_names, conv=self.conv, source=source
        )

    def export(self, variables: Variables) -> dict[str, np.ndarray]:
        """All variables as a PyTorch state dict; the inverse of `load_all`."""
        state = torch_names.export_variables(variables, self.torch_names, self.conv)
        return torch_names.add_twins(state, self.torch_twins)

    @property
    def conv(self) -> tuple[str, ...]:
        """The PyTorch names of convolutions."""
        return (*self.backbone.conv, *self.method.conv, *self.module.head.conv)

    @property
    def undecayed(self) -> tuple[str, ...]:
        """Patterns over the paths of what weight decay spares; see `optimizer.decays`."""
        return (
            *(f'backbone/{path}' for path in self.backbone.undecayed),
            *(f'tuner/{path}' for path in self.method.undecayed),
        )

    @property
    def torch_twins(self) -> dict[str, str]:
        """Second PyTorch names to first."""
        return {**self.backbone.torch_twins, **self.method.torch_twins}

    @property
    def torch_names(self) -> dict[str, str]:
        """The PyTorch names of the whole tree."""
        return {
            **below('backbone', inside(self.backbone.torch_names, self.method.torch_inside)),
            **below('tuner', self.method.torch_names),
            **below('head', self.module.head.torch_names),
        }


def _backbone(variables: Mapping[str, trees.Tree]) -> Variables:
    return {name: {'backbone': tree['backbone']} for name, tree in variables.items()}


def below(part: str, names: Mapping[str, str]) -> dict[str, str]:
    """A table of PyTorch names with its tree paths below `part`."""
    return {f'{part}/{path}': name for path, name in names.items()}


def inside(names: Mapping[str, str], modules: Mapping[str, str]) -> dict[str, str]:
    """`names` with those of some modules one module deeper; see `Method.torch_inside`."""

    def deeper(path: str, name: str) -> str:
        ends = [end for pattern, end in modules.items() if trees.matches(path, [pattern])]
        return '.'.join([name, *ends])

    return {path: deeper(path, name) for path, name in names.items()}


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
