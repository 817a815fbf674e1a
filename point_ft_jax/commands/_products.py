"""A square float32 matrix product by every library at hand: the rate that this machine reaches."""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core.devices import EIGEN, YNNPACK, compiler_options

PRODUCT = 4096
FLOPS = 2 * PRODUCT**3
LIBRARIES = {'Eigen': EIGEN, 'YNNPACK': YNNPACK}


def products() -> dict[str, Callable[[], Any]]:
    """Functions that compute the product once, by what computes it.

    On a CPU 'XLA, Eigen' and 'XLA, YNNPACK', one of which computes the products of programs here
    (`devices.product_library`), 'numpy' and, if installed, 'torch'.
    """
    if jax.default_backend() != 'cpu':
        return {'XLA': _xla(compiler_options())}
    run = {f'XLA, {name}': _xla(compiler_options(library)) for name, library in LIBRARIES.items()}
    square = np.ones((PRODUCT, PRODUCT), np.float32)
    run['numpy'] = lambda: square @ square
    if importlib.util.find_spec('torch'):
        import torch

        tensor = torch.from_numpy(square)
        run['torch'] = lambda: tensor @ tensor
    return run


def _xla(options: dict[str, str]) -> Callable[[], Any]:
    square = jnp.ones((PRODUCT, PRODUCT), jnp.float32)
    compiled = jax.jit(jnp.matmul, compiler_options=options).lower(square, square).compile()
    return lambda: jax.block_until_ready(compiled(square, square))
