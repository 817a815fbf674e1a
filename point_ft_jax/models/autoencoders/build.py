"""An autoencoder from names: a backbone, what reconstructs its patches, and the tables of both."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import options, torch_names
from point_ft_jax.models.autoencoders import (
    center_prediction,
    generative,
    hierarchical,
    masked,
    masking,
)
from point_ft_jax.models.autoencoders.masked import CONTRAST, CONTRAST_WIDTH, TOKENS
from point_ft_jax.models.backbone import Backbone
from point_ft_jax.models.build import compute_type, variant_of
from point_ft_jax.models.model import Drawn, below
from point_ft_jax.models.spec import AutoencoderSpec

# What `Backbone.autoencoder` may be. Each has the class, AUTOENCODER, and the PyTorch names of what
# is not the backbone.
KINDS = {
    'masked': masked,
    'hierarchical': hierarchical,
    'center_prediction': center_prediction,
    'generative': generative,
}


@dataclasses.dataclass(frozen=True)
class Autoencoder(Drawn):
    """An autoencoder with the plug-in that it was built from.

    Attributes:
        spec: the names that it was built from.
        module: the Flax module; `module.apply(variables, points)` gives a `Reconstruction`.
        backbone: the plug-in.
    """

    spec: AutoencoderSpec
    module: nn.Module
    backbone: Backbone

    def _init(self, key: jax.Array) -> Variables:
        points = jnp.zeros((1, self.module.backbone.fewest_points, 3))
        variables = self.module.init({'params': key}, points)
        return {'params': variables['params'], 'batch_stats': variables['batch_stats']}

    @property
    def trainable(self) -> tuple[str, ...]:
        """Patterns over the paths of what trains: all of it."""
        return ('*',)

    def load_all(
        self, variables: Variables, state: Mapping[str, np.ndarray], source: str
    ) -> tuple[Variables, torch_names.LoadReport]:
        """`variables` from a pre-training file: every key, and no other but frozen teachers'."""
        return torch_names.import_variables(
            state,
            variables,
            self.torch_names,
            conv=self.conv,
            leaves=('img_encoder.*', 'text_encoder.*'),
            source=source,
        )

    def export(self, variables: Variables) -> dict[str, np.ndarray]:
        """All variables as a PyTorch state dict; the inverse of `load_all`."""
        return torch_names.export_variables(variables, self.torch_names, self.conv)

    @property
    def conv(self) -> tuple[str, ...]:
        """The PyTorch names of convolutions."""
        return KINDS[self.backbone.autoencoder].CONV

    @property
    def undecayed(self) -> tuple[str, ...]:
        """Patterns over the paths of what weight decay spares; see `optimizer.decays`."""
        own = (f'backbone/{path}' for path in self.backbone.undecayed)
        return (*own, *KINDS[self.backbone.autoencoder].UNDECAYED)

    @property
    def torch_names(self) -> dict[str, str]:
        """The PyTorch names of the whole tree."""
        kind = KINDS[self.backbone.autoencoder]
        names = {path: kind.PREFIX + name for path, name in self.backbone.torch_names.items()}
        return {**below('backbone', names), **kind.TORCH_NAMES}


def build_autoencoder(spec: AutoencoderSpec) -> Autoencoder:
    """An autoencoder around a backbone.

    Raises:
        UserError: an unknown name or option, a backbone without a masked autoencoder, a mask that
            hides nothing or all, a teacher without a token to teach.
    """
    backbone = spec.backbone
    plugin: Backbone = plugins.load('backbones', backbone).BACKBONE
    if plugin.pretraining is None:
        can = [n for n in plugins.available('backbones') if _plugin(n).pretraining is not None]
        raise UserError(
            f'{backbone} has no masked autoencoder to be pre-trained by; {", ".join(can)} have one'
        )
    dtype = compute_type(spec.dtype)
    fields = {**variant_of(spec, plugin), **spec.geometry, **plugin.pretraining}
    options.check(f'backbone {backbone}', plugin.build, fields)
    module = plugin.build(**fields, dtype=dtype)
    make = KINDS[plugin.autoencoder].AUTOENCODER
    options.check('the autoencoder', make, spec.options)
    projections = {**spec.teachers, **({CONTRAST: CONTRAST_WIDTH} if spec.contrast else {})}
    _check(module, backbone, spec.options, projections)
    taught = {'projections': projections} if projections else {}
    return Autoencoder(spec, make(backbone=module, **spec.options, **taught, dtype=dtype), plugin)


def _plugin(name: str) -> Backbone:
    return plugins.load('backbones', name).BACKBONE


def _check(
    module: nn.Module, backbone: str, given: Mapping[str, object], projections: Mapping[str, int]
) -> None:
    tokens = getattr(module, 'global_tokens', (hierarchical.POOLED,))
    problems = [
        f'the {name} loss needs the token {TOKENS[name]!r}, and {backbone} in pre-training has '
        f'{", ".join(tokens) or "none"}'
        for name in projections
        if TOKENS[name] not in tokens
    ]
    if (mask := given.get('mask', 'random')) not in masking.MASKS:
        problems.append(f'mask is {mask!r}; expected one of {", ".join(masking.MASKS)}')
    raise_all(problems, 'this can not be pre-trained:')
    groups = module.num_groups
    if 'mask_ratio' in given:
        number = groups if isinstance(groups, int) else groups[-1]
        masking.number_hidden(given['mask_ratio'], number)
