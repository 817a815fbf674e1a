"""A model as a StableHLO program with its weights inside: run anywhere that JAX's exports run.

`jax.export` keeps such programs readable for some months of its versions. The number of clouds of a
batch is left open; the number of points is fixed.
"""

import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from kernels import with_backend
from point_ft_jax.core import disk
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.models import Model
from point_ft_jax.models.tokenizer import unblocked

SUFFIX = '.stablehlo'
PLATFORMS = ('cpu', 'cuda', 'tpu')


def write(path: str | os.PathLike, model: Model, variables: Variables, points: int) -> int:
    """Writes a model's forward pass; gives the bytes.

    Args:
        path: the file; its folder exists.
        model: a classifier or part segmenter.
        variables: its weights, which become constants of the program.
        points: of a cloud.

    Raises:
        UserError: the flatbuffers package, which writes the container, is missing; or the path is
            not writable.
    """
    _require_package()
    try:
        data = exported(model, variables, points).serialize()
        disk.write(pathlib.Path(path), data)
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror or error}') from error
    return len(data)


def exported(model: Model, variables: Variables, points: int) -> export.Exported:
    """The forward pass of clouds [B, N, 3 + F], and of a part segmenter categories [B], B open."""
    # Each cloud by itself under `vmap`: what chooses an algorithm by the size of a batch can't
    # compare sizes that are not known yet.
    (batch,) = export.symbolic_shape('batch')
    channels = model.module.backbone.input_channels
    inputs = [jax.ShapeDtypeStruct((batch, points, channels), jnp.float32)]
    if model.spec.num_parts is not None:
        inputs.append(jax.ShapeDtypeStruct((batch,), jnp.int32))
    variables = jax.tree.map(np.asarray, variables)

    def logits(*one: jax.Array) -> jax.Array:
        return model.module.apply(variables, *(array[None] for array in one))[0]

    with unblocked(), with_backend('xla'):
        program = export.export(jax.jit(jax.vmap(logits)), platforms=PLATFORMS)
        return program(*inputs)


def read(path: str | os.PathLike) -> Callable[..., jax.Array]:
    """The function that `write` wrote: clouds, and categories of a part segmenter, to logits.

    Raises:
        UserError: the flatbuffers package is missing, no such file, or one that is none.
    """
    _require_package()
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}; expected a StableHLO file') from None
    try:
        return export.deserialize(bytearray(data)).call
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            f'{path}: no program of jax.export, or one of a version that this jax does not read '
            f'({type(error).__name__}: {str(error)[:100]}); export it again'
        ) from None


def _require_package() -> None:
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise UserError(
            'StableHLO files need a package that is not installed: pip install flatbuffers'
        ) from None
