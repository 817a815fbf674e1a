"""The examples in the docstrings of weight space."""

import doctest
import importlib

import pytest

from point_ft_jax import weight_space

MODULES = sorted({getattr(weight_space, name).__module__ for name in weight_space.__all__})


@pytest.mark.parametrize('module', MODULES)
def test_the_examples_of_a_module_run(module: str) -> None:
    result = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert (result.failed, result.attempted > 0) == (0, True)
