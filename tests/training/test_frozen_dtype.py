"""Frozen kernels in bfloat16 take half the memory and change no number of a bfloat16 model."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import build, recipe, splits, start, tiny

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import build as builder
from point_ft_jax.training import costs, step
from point_ft_jax.training.fit import fit
from point_ft_jax.training.plan import TrainingPlan


@pytest.mark.slow
def test_a_bfloat16_model_trains_to_the_same_bits() -> None:
    model = build('dapt', dtype='bfloat16')
    plan = TrainingPlan(epochs=2, batch_size=8)
    plain = recipe(model, epochs=2)
    halved = dataclasses.replace(plain, frozen_dtype=jnp.bfloat16)
    one, other = (fit(r, *start(model), splits(), plan) for r in (plain, halved))
    same = jax.tree.map(np.array_equal, one.variables, other.variables)
    assert all(jax.tree.leaves(same))
    types = {leaf.dtype for leaf in jax.tree.leaves(other.variables['params'])}
    assert types == {np.dtype('float32')}  # what is kept is as it came


def test_kernels_alone_are_stored_in_fewer_bits() -> None:
    model = build('dapt')
    halved = dataclasses.replace(recipe(model), frozen_dtype=jnp.bfloat16)
    variables, trainable = start(model)
    _, frozen = trees.partition(variables['params'], trainable)
    for path, leaf in trees.flatten(step.stored(halved, frozen)).items():
        assert (leaf.dtype == jnp.bfloat16) == path.endswith('/kernel')


@pytest.mark.slow
def test_the_arguments_of_a_step_shrink() -> None:
    model = build('dapt', dtype='bfloat16')
    plain = recipe(model)
    halved = dataclasses.replace(plain, frozen_dtype=jnp.bfloat16)
    before, after = (costs.step_memory(model, r, 4)['arguments'] for r in (plain, halved))
    assert after < before


def test_it_goes_with_a_model_that_computes_so(tmp_path: pathlib.Path) -> None:
    config = tiny(tmp_path)
    config.train.frozen_dtype = 'bfloat16'
    with pytest.raises(UserError, match="rounds the backbone's weights; it goes with"):
        builder.make_recipe(config, builder.build_model(config, 3), 4, None)
