"""Models: `build` makes one of a spec, `create_model` of names."""

from point_ft_jax.models.build import build, create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.spec import AutoencoderSpec, ModelSpec

__all__ = ['AutoencoderSpec', 'Model', 'ModelSpec', 'build', 'create_model']
